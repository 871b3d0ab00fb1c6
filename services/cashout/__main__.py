"""``python -m services.cashout``."""

from services._kit.process import main
from services.cashout import app

if __name__ == "__main__":
    raise SystemExit(main(app.service))
