"""The migration under the name that the platform's plan gives it: `python -m migration run`.

Started as a file too (`python scripts/migrate_sqlite_to_postgres.py`), as the plan writes it.
"""

import sys
from pathlib import Path

# Started as a file, Python looks for packages in scripts/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from database import cli
from migration.__main__ import run

app = cli.application("Move a SQLite database into PostgreSQL, and prove that nothing was lost.")
app.command()(run)


def main() -> None:
    """The console command."""
    cli.run(app)


if __name__ == "__main__":
    main()
