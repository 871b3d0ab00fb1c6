"""What operators read is what the code says."""

from deploy import operations
from deploy.local.environment import for_service


def test_the_page_of_settings_is_up_to_date() -> None:
    assert operations._PAGE.read_text(encoding="utf-8") == operations.page(), "run make docs"


def test_nobody_is_handed_another_services_secrets() -> None:
    variables = {
        "KAFKA_URL": "k",
        "SALUR_SEAL_KEY": "s",
        "SALUR_CALLBACK_SEAL_KEY": "c",
        "SALUR_PHONE_KEY": "p",
        "SALUR_GATEWAY_ADMIN_TOKEN": "t",
        "SALUR_LEDGER_BATCH_MESSAGES_MAX": "5",
    }

    ledger = for_service(variables, "ledger")

    assert ledger == {"KAFKA_URL": "k", "SALUR_LEDGER_BATCH_MESSAGES_MAX": "5"}
    assert "SALUR_SEAL_KEY" not in for_service(variables, "callbacks")
    assert "SALUR_CALLBACK_SEAL_KEY" not in for_service(variables, "disburse")
