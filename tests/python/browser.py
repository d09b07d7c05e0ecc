"""Opens pages in a headless browser: browser.py BROWSER PAGE.html … No error in the console, nothing wider than the screen,
pictures with a size, tables that sort both ways."""

import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BEFORE = """<script>
window.problems = [];
addEventListener("error", event => problems.push("error: " + (event.message || event.target.src)), true);
addEventListener("securitypolicyviolation", event => problems.push("refused: " + event.blockedURI));
console.error = console.warn = (...words) => problems.push("console: " + words.join(" "));
</script>"""

AFTER = """<script>
addEventListener("load", () => {
  const sorted = (table, column, sign) => {
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const values = [...table.tBodies[0].rows].map(value);
    const isText = value => isNaN(Number(value));
    return values.every((next, place) => {
      const last = values[place - 1];
      if (place === 0) return true;
      if (isText(last) !== isText(next)) return isText(next);
      return sign * (isText(next) ? last.localeCompare(next) : Number(last) - Number(next)) <= 0;
    });
  };
  const tables = [...document.querySelectorAll("table.sortable")];
  for (const [number, table] of tables.entries()) {
    const n = table.tBodies[0].rows.length;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      for (const sign of [1, -1]) {
        head.click();
        if (!sorted(table, column, sign)) problems.push(`table ${number} column ${column} does not sort by ${sign}`);
      }
    });
    if (table.tBodies[0].rows.length !== n) problems.push(`table ${number} lost rows`);
  }
  const pictures = [...document.querySelectorAll("svg, img")].filter(picture => picture.checkVisibility());
  for (const picture of pictures) {
    const box = picture.getBoundingClientRect();
    const isLoaded = picture.tagName !== "IMG" || picture.naturalWidth > 0;
    if (!(box.width > 0 && box.height > 0 && isLoaded)) problems.push("a picture has no size");
  }
  for (const part of document.querySelectorAll("[src], link[href]"))
    if (/^(https?:)?\\/\\//.test(part.getAttribute("src") ?? part.getAttribute("href"))) problems.push("network: " + part.outerHTML);
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) problems.push(`${over} pixels wider than the screen of ${innerWidth}`);
  const seen = { problems, tables: tables.length, pictures: pictures.length };
  document.documentElement.dataset.seen = JSON.stringify(seen);
});
</script>"""


def look(browser: str, page: Path, width: int, is_dark: bool) -> dict:
    """What a browser of this width sees of a page."""
    text = page.read_text()
    assert text.count("<head>") == 1 and text.count("</body>") == 1, f"{page} is no page"
    text = text.replace("<head>", "<head>" + BEFORE).replace("</body>", AFTER + "</body>")
    with tempfile.TemporaryDirectory() as folder:
        watched = Path(folder) / "page.html"
        watched.write_text(text)
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        command += [f"--window-size={width},900", "--blink-settings=preferredColorScheme=" + ("0" if is_dark else "1")]
        done = subprocess.run([*command, "--dump-dom", watched.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, f"{page}: the browser showed nothing\n{done.stderr[-2000:]}"
    return json.loads(html.unescape(found.group(1)))


def main() -> None:
    browser, *pages = sys.argv[1:]
    assert pages, "no page was given"
    for page in map(Path, pages):
        for width, is_dark in [(1280, False), (390, True)]:
            seen = look(browser, page, width, is_dark)
            assert not seen["problems"], f"{page} at {width} pixels: {seen['problems']}"
            assert seen["tables"] > 0 and seen["pictures"] > 0, f"{page} is empty: {seen}"
        print(f"{page.name}: {seen['tables']} tables sort, {seen['pictures']} pictures")


main()
