for (const note of document.querySelectorAll(".click")) note.hidden = false;
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.setAttribute("role", "button");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const sort = () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)], [n, m] = [Number(x), Number(y)];
        if (isNaN(n) !== isNaN(m)) return isNaN(n) ? 1 : -1;
        return sign * (isNaN(n) ? x.localeCompare(y) : n - m);
      });
      table.classList.add("sorted");
      body.append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
