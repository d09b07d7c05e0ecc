//! An inspection as aligned text for a terminal.

use std::fmt::{self, Write};

use super::columns::ColumnSummary;
use super::perturbations::{FEW_CELLS, PerturbationSummary};
use super::{Inspection, Origin};

/// Lines are filled up to this width.
const WIDTH: usize = 110;
/// Longer values are cut.
const LONGEST_VALUE: usize = 32;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::Elsewhere => "",
            Origin::Simulated => ", made by `scflow simulate`",
            Origin::Prepared => ", made by `scflow preprocess`",
            Origin::Predicted => ", made by `scflow predict`",
        };
        writeln!(f, "{}: {} cells × {} genes{origin}", self.file, grouped(self.n_cells), grouped(self.n_genes))?;
        self.matrices(f)?;
        self.columns(f)?;
        self.others(f)?;
        if let Some(summary) = &self.perturbations {
            perturbations(f, summary, self.prepared.is_none())?;
        }
        self.next(f)
    }
}

impl Inspection {
    fn matrices(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["matrix", "stored", "non-zero", "smallest", "largest", "looks like"].map(str::to_owned);
        let mut rows = vec![head.to_vec()];
        for matrix in &self.matrices {
            let mut looks = format!("{}: {}", matrix.looks_like.words(), matrix.evidence);
            for (n, problem) in
                [(matrix.n_nan, "NaN"), (matrix.n_infinite, "infinite"), (matrix.n_negative, "negative")]
            {
                if n > 0 {
                    write!(looks, "; {} {problem}", grouped(n))?;
                }
            }
            rows.push(vec![
                matrix.name.clone(),
                grouped(matrix.n_stored),
                format!("{:.1} %", 100.0 * matrix.share_nonzero),
                number(matrix.min),
                number(matrix.max),
                looks,
            ]);
        }
        writeln!(f)?;
        table(f, &rows, &[false, true, true, true, true, false])
    }

    fn columns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, columns, names) in
            [("obs", &self.obs, &self.first_names[0]), ("var", &self.var, &self.first_names[1])]
        {
            let mut rows = vec![[title, "type", "distinct", "values"].map(str::to_owned).to_vec()];
            rows.push(vec!["(names)".into(), "text".into(), String::new(), format!("{}, …", names.join(", "))]);
            rows.extend(columns.iter().map(|column| {
                vec![column.name.clone(), column.kind.into(), grouped(column.n_distinct), String::new()]
            }));
            let widths: usize = (0..3).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0) + 2).sum();
            for (row, column) in rows.iter_mut().skip(2).zip(columns) {
                row[3] = values(column, WIDTH.saturating_sub(widths));
            }
            writeln!(f)?;
            table(f, &rows, &[false, false, true, false])?;
        }
        Ok(())
    }

    fn others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |arrays: &std::collections::BTreeMap<String, usize>| {
            arrays.iter().map(|(name, n)| format!("{name} ({n} columns)")).collect::<Vec<_>>().join(", ")
        };
        let mut rows = Vec::new();
        for (title, text) in [("obsm", sized(&self.obsm)), ("varm", sized(&self.varm)), ("uns", self.uns.join(", "))] {
            if !text.is_empty() {
                rows.push(vec![title.to_owned(), text]);
            }
        }
        for note in &self.notes {
            rows.push(vec!["note".to_owned(), note.clone()]);
        }
        for duplicates in &self.duplicates {
            let some: Vec<String> =
                duplicates.names.iter().take(3).map(|(name, n)| format!("`{name}` {n} times")).collect();
            let n = grouped(duplicates.names.len());
            rows.push(vec!["duplicated".to_owned(), format!("{n} names of {}: {}", duplicates.table, some.join(", "))]);
        }
        if let Some(settings) = &self.prepared {
            let held_out = match settings.held_out.len() {
                0 => "nothing".to_owned(),
                n => format!("{} conditions: {}", grouped(n), fill(&settings.held_out, WIDTH - 32)),
            };
            rows.push(vec!["prepared".into(), format!("from {} by scflow {}", settings.input, settings.version)]);
            rows.push(vec!["held out".into(), held_out]);
        }
        if let Some(maker) = &self.predicted {
            let read = maker.text_encoder.as_ref().map(|name| format!("; descriptions were read by {name}"));
            rows.push(vec!["predicted".into(), format!("by {}{}", maker.method, read.unwrap_or_default())]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        table(f, &rows, &[false, false])
    }

    fn next(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for remark in &self.next.remarks {
            write!(f, "\n! {remark}")?;
        }
        if self.next.command.is_empty() {
            return Ok(());
        }
        write!(f, "\nnext:\n  {}", self.next.command.join(" \\\n    "))
    }
}

fn perturbations(f: &mut fmt::Formatter<'_>, summary: &PerturbationSummary, is_raw: bool) -> fmt::Result {
    let suggested = if summary.is_suggested { ", suggested by their names" } else { "" };
    writeln!(f, "\nperturbations in obs[\"{}\"], control `{}`{suggested}", summary.column, summary.control)?;
    let mut rows = vec![vec!["control".to_owned(), String::new(), format!("{} cells", grouped(summary.n_controls))]];
    for size in &summary.sizes {
        let name = match size.n_components {
            1 => "singles".to_owned(),
            2 => "pairs".to_owned(),
            n => format!("sets of {n}"),
        };
        let [least, middle, most] = size.cells.map(number);
        let cells = match size.n_perturbations {
            1 => format!("{most} cells"),
            _ if least == most => format!("{most} cells each"),
            _ => format!("{least} to {most} cells each, median {middle}"),
        };
        rows.push(vec![name, grouped(size.n_perturbations), cells]);
    }
    let candidates = summary.candidates();
    if is_raw && !candidates.is_empty() {
        let names: Vec<String> = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let text = format!("whose parts all occur alone: {}", fill(&names, WIDTH - 48));
        rows.push(vec!["to hold out".into(), grouped(candidates.len()), text]);
    }
    if !summary.few.is_empty() {
        let names: Vec<String> = summary.few.iter().map(|(name, n)| format!("{name}: {n}")).collect();
        let text = format!(
            "of {} have fewer than {FEW_CELLS} cells: {}",
            grouped(summary.n_conditions),
            fill(&names, WIDTH - 52)
        );
        rows.push(vec!["conditions".into(), grouped(summary.few.len()), text]);
    }
    table(f, &rows, &[false, true, false])?;
    let suggested = if summary.covariates_are_suggested { ", suggested by its name" } else { "" };
    for (column, values) in &summary.covariates {
        writeln!(f, "\ncontrols by {column}{suggested}")?;
        let rows: Vec<Vec<String>> = values
            .iter()
            .map(|value| {
                vec![value.value.clone(), grouped(value.n_controls), format!("of {} cells", grouped(value.n_cells))]
            })
            .collect();
        table(f, &rows, &[false, true, false])?;
    }
    Ok(())
}

/// The values of a column in one line.
fn values(column: &ColumnSummary, width: usize) -> String {
    let mut text = if column.top.is_empty() {
        column.range.map_or_else(String::new, |[min, middle, max]| {
            format!("{} to {}, median {}", number(min), number(max), number(middle))
        })
    } else if column.top[0].1 == 1 && column.n_distinct > 1 {
        let names: Vec<String> = column.top.iter().map(|(value, _)| cut(value)).collect();
        format!("all different: {}", fill_of(&names, width.saturating_sub(15), column.n_distinct))
    } else {
        let counts: Vec<String> =
            column.top.iter().map(|(value, n)| format!("{} {}", cut(value), grouped(*n))).collect();
        fill_of(&counts, width, column.n_distinct)
    };
    if column.n_missing > 0 {
        text.push_str(&format!("; {} missing", grouped(column.n_missing)));
    }
    text
}

/// As many items as fit, and how many there are beyond.
fn fill(items: &[String], width: usize) -> String {
    fill_of(items, width, items.len())
}

fn fill_of(items: &[String], most: usize, n_total: usize) -> String {
    let mut text = String::new();
    for (position, item) in items.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        // Room for the words that tell of the others.
        let reserve = if position + 1 == n_total { 0 } else { 14 };
        if position > 0 && width(&text) + width(separator) + width(item) + reserve > most {
            return format!("{text}, and {} more", grouped(n_total - position));
        }
        text.push_str(separator);
        text.push_str(item);
    }
    if items.len() < n_total {
        text.push_str(&format!(", and {} more", grouped(n_total - items.len())));
    }
    text
}

fn cut(value: &str) -> String {
    if value.is_empty() {
        return "``".into();
    }
    if width(value) <= LONGEST_VALUE {
        return value.to_owned();
    }
    let kept: String = value.chars().take(LONGEST_VALUE - 1).collect();
    format!("{kept}…")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Writes rows with aligned columns, two spaces apart.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>], is_right: &[bool]) -> fmt::Result {
    let widths: Vec<usize> =
        (0..is_right.len()).map(|at| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::from("  ");
        for ((cell, &wide), &right) in row.iter().zip(&widths).zip(is_right) {
            let space = " ".repeat(wide - width(cell));
            let (before, after) = if right { (space.as_str(), "") } else { ("", space.as_str()) };
            write!(line, "{before}{cell}{after}  ")?;
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// `12,345`.
pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in three or four significant digits.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e15 {
        let sign = if value < 0.0 { "−" } else { "" };
        return format!("{sign}{}", grouped(size as usize));
    }
    let text = match size {
        size if size >= 1000.0 => return number(value.round()),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([grouped(0), grouped(999), grouped(1234567)], ["0", "999", "1,234,567"]);
        assert_eq!(
            [number(-10.0), number(0.03125), number(12.345), number(4321.7)],
            ["−10", "0.0312", "12.3", "4,322"]
        );
    }

    #[test]
    fn lists_say_how_much_they_leave_out() {
        let items: Vec<String> = (0..10).map(|i| format!("item {i}")).collect();
        assert_eq!(fill(&items, 40), "item 0, item 1, item 2, and 7 more");
        assert_eq!(fill(&items[..2], 40), "item 0, item 1");
    }
}
