"""README's table, written from a record: `python -m sdrt_bench.docs.readme_table`."""

import sys
from pathlib import Path

from sdrt.errors import SdrtError, UsageError
from sdrt.files.atomic import whole_file
from sdrt_bench.bench.record import Record, read_record
from sdrt_bench.bench.report.table import to_markdown
from sdrt_bench.docs.markdown_blocks import markers, read_document, with_marked

MARK = "benchmark"
BEGIN, END = markers(MARK)


def with_table(readme: str, record: Record) -> str:
    """The text with the record's table between its markers; raises `UsageError` without them."""
    return with_marked(readme, MARK, to_markdown(record))


def main(arguments: list[str]) -> int:
    """Rewrite RECORD's table in README; the exit code."""
    if len(arguments) != 2:
        print("usage: python -m sdrt_bench.docs.readme_table RECORD README.md", file=sys.stderr)
        return UsageError.exit_code
    record, readme = map(Path, arguments)
    try:
        text = with_table(read_document(readme), read_record(record))
        with whole_file(readme) as partial:
            partial.write_text(text, encoding="utf-8")
    except SdrtError as error:
        print(f"{readme}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
