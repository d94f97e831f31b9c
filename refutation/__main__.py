"""`python -m refutation [CHAPTER ...]` computes every claim again under every variation.

Prints which claims hold, how often, and which flip; keeps the table in `refutation/table.json`,
which a page of the book shows. Ends with 1 if a claim flips in more than one of ten variations.
Claims that were computed with the same package, data and chapter are taken from the table.
"""

import argparse
import datetime
import hashlib
import importlib
import json
import sys
from pathlib import Path

from tqdm import tqdm

from refutation.claims import VARIATIONS, Claim, NotApplicable

HERE = Path(__file__).parent
TABLE = HERE / "table.json"
MOST_FLIPS = 1  # of ten variations


def chapters() -> list[str]:
    """The chapters that have claims."""
    return sorted(
        p.stem for p in HERE.glob("*.py") if not p.stem.startswith("_") and p.stem != "claims"
    )


def fingerprint(chapter: str) -> str:
    """Changes with the claims of a chapter, the package and its data."""
    root, digest = HERE.parent, hashlib.sha256()
    files = [p for p in (root / "speech_interp").rglob("*") if p.is_file()]
    files += [HERE / "claims.py", HERE / f"{chapter}.py"]
    for path in sorted(p for p in files if "__pycache__" not in p.parts):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def tried(claim: Claim, bar: tqdm) -> dict:
    """One row of the table: what came out under each variation."""
    outcomes = []
    for variation in VARIATIONS:
        try:
            if not claim.depends_on(variation):
                raise NotApplicable("nothing of this enters the claim")
            holds, value = claim.holds(variation)
            outcome = {"holds": bool(holds), "value": float(value)}
        except NotApplicable as reason:
            outcome = {"holds": None, "value": None, "why": str(reason)}
        outcomes.append({"variation": str(variation)} | outcome)
        bar.update()  # says whether it was shown: never use its result
    row = {name: getattr(claim, name) for name in ("sentence", "statistic", "condition")}
    return row | {"outcomes": outcomes}


def flips(row: dict) -> list[str]:
    """The variations, the page's own among them, under which a claim does not hold."""
    return [o["variation"] for o in row["outcomes"] if o["holds"] is False]


def summary(row: dict) -> str:
    counted = [o for o in row["outcomes"] if o["holds"] is not None]
    held = sum(o["holds"] for o in counted)
    failed = f"; not with {'; '.join(flips(row))}" if flips(row) else ""
    return f"{held} of {len(counted)}{failed}: {row['sentence']}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m refutation", description=__doc__)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="all by default")
    wanted = parser.parse_args().chapters or chapters()
    if unknown := set(wanted) - set(chapters()):
        parser.error(f"no claims of {sorted(unknown)}; there are some of {chapters()}")
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    for chapter in wanted:
        mark = fingerprint(chapter)
        if table.get(chapter, {}).get("fingerprint") != mark:
            claims = importlib.import_module(f"refutation.{chapter}").CLAIMS
            with tqdm(total=len(claims) * len(VARIATIONS), desc=chapter) as bar:
                rows = [tried(claim, bar) for claim in claims]
            today = datetime.date.today().isoformat()
            table[chapter] = {"fingerprint": mark, "computed": today, "claims": rows}
            keep(table)
        print(f"\n{chapter}, computed {table[chapter]['computed']}")
        for row in table[chapter]["claims"]:
            print(f"  {summary(row)}")
    doubtful = [r for c in wanted for r in table[c]["claims"] if len(flips(r)) > MOST_FLIPS]
    tries = len(VARIATIONS) - 1
    print(f"\n{len(doubtful)} claims flip in more than {MOST_FLIPS} of {tries} variations")
    return int(bool(doubtful))


def keep(table: dict) -> None:
    """Writes the table whole or not at all."""
    unfinished = TABLE.with_suffix(".part")
    unfinished.write_text(
        json.dumps(table, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
    unfinished.replace(TABLE)


if __name__ == "__main__":
    sys.exit(main())
