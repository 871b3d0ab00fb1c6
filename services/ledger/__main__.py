"""``python -m services.ledger``."""

from services._kit.process import main
from services.ledger.app import service

if __name__ == "__main__":
    raise SystemExit(main(service))
