"""``python -m services.callbacks``."""

from services._kit.process import main
from services.callbacks import app

if __name__ == "__main__":
    raise SystemExit(main(app.service))
