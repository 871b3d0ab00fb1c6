"""``python -m services.disburse``: consumers and errand workers of one process."""

from services._kit.process import main
from services.disburse.app import service

if __name__ == "__main__":
    raise SystemExit(main(service))
