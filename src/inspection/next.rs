//! What to mend and what to type next.

use super::columns::ColumnSummary;
use super::perturbations::{FEW_CELLS, PerturbationSummary};
use super::text::{grouped, number};
use super::{Inspection, MatrixSummary, Next, Origin, Scale};
use crate::conditions::Perturbation;

/// Proposes the next command.
pub fn next(inspection: &Inspection) -> Next {
    let file = quote(&inspection.file);
    match inspection.origin {
        Origin::Predicted => Next {
            remarks: vec!["PREPARED.h5ad is the prepared screen that the model was fitted to".into()],
            command: vec![format!("scflow evaluate {file}"), "--truth PREPARED.h5ad".into(), "-o scores".into()],
        },
        Origin::Prepared => {
            let nothing_held_out = inspection.prepared.as_ref().is_some_and(|settings| settings.held_out.is_empty());
            let remark = "nothing is held out: a model can be fitted, but there is nothing to judge it by";
            Next {
                remarks: nothing_held_out.then(|| remark.to_owned()).into_iter().collect(),
                command: vec![format!("scflow fit {file}"), "-o model".into()],
            }
        }
        Origin::Elsewhere | Origin::Simulated => preprocess(inspection, &file),
    }
}

fn preprocess(inspection: &Inspection, file: &str) -> Next {
    let mut remarks = defects(inspection);
    let counts = counts_flag(&inspection.matrices);
    if let Err(remark) = &counts {
        remarks.push(remark.clone());
        if inspection.notes.iter().any(|note| note.starts_with("`raw")) {
            remarks.push("the file has a part `raw`, which may hold them: in Python, adata.raw.to_adata()".into());
        }
    }
    let Some(summary) = &inspection.perturbations else {
        let (remark, command) = which_column(inspection, file);
        remarks.push(remark);
        return Next { remarks, command };
    };
    let mut command = vec![
        format!("scflow preprocess {file}"),
        format!("-o {}", quote(&output(&inspection.file))),
        format!("--perturbation-column {}", quote(&summary.column)),
        format!("--control {}", quote(&summary.control)),
    ];
    command.extend(counts.unwrap_or_default());
    for (column, values) in &summary.covariates {
        let without: Vec<String> =
            values.iter().filter(|value| value.n_controls == 0).map(|value| format!("`{}`", value.value)).collect();
        if without.is_empty() {
            command.push(format!("--covariate {}", quote(column)));
        } else {
            let n = without.len();
            let some = without.into_iter().take(3).collect::<Vec<_>>().join(", ");
            remarks.push(format!(
                "{column} cannot be a covariate as it is: {n} of its values have no control cells ({some})"
            ));
        }
    }
    if let Some((column, middle)) = inspection.larger_library_sizes.first() {
        remarks.push(format!(
            "obs[\"{column}\"] (median {}) is larger than the sums of X (median {}): X holds a part of the genes, so \
             library sizes come from the column",
            number(*middle),
            number(inspection.matrices[0].median_sum)
        ));
        command.push(format!("--size-factors {}", quote(column)));
    }
    remarks.extend(doses(inspection, summary));
    match held_out(summary) {
        Ok(conditions) => command.extend(conditions.iter().map(|text| format!("--holdout {}", quote(text)))),
        Err(remark) => {
            remarks.push(remark);
            command.push("--split FILE.csv".into());
        }
    }
    if counts_flag(&inspection.matrices).is_err() {
        command.clear();
    }
    Next { remarks, command }
}

/// Usual names of columns with doses, in small letters.
const DOSE_COLUMNS: [&str; 8] =
    ["dose", "dose_val", "dose_value", "dose_um", "dosage", "concentration", "drug_dose", "dose_1"];

/// A column that may hold doses, where the labels hold none: cells at several doses would count as one condition.
fn doses(inspection: &Inspection, summary: &PerturbationSummary) -> Option<String> {
    let is_told = summary.perturbations.iter().any(|perturbation| perturbation.name.contains('@'));
    let is_dose = |name: &str| DOSE_COLUMNS.contains(&name.to_lowercase().as_str());
    // GEARS writes 1 for every single and 1+1 for every pair.
    let is_one = |text: &str| text.split('+').all(|dose| dose.trim().parse() == Ok(1.0));
    let varies = |column: &ColumnSummary| match column.top.as_slice() {
        [] => column.n_distinct > 1,
        top => top.iter().any(|(text, _)| !is_one(text)) && column.n_distinct > 1,
    };
    let column = inspection.obs.iter().find(|column| is_dose(&column.name) && varies(column))?;
    (!is_told).then(|| {
        format!(
            "obs[\"{}\"] may hold doses: without --dose-column {} (and --dose-unit) cells at different doses are one condition",
            column.name,
            quote(&column.name)
        )
    })
}

/// What preprocess would refuse.
fn defects(inspection: &Inspection) -> Vec<String> {
    let mut remarks = Vec::new();
    let x = &inspection.matrices[0];
    if x.n_nan + x.n_infinite > 0 {
        remarks.push(format!(
            "X holds {} NaN and {} infinite values: find where they come from and mend them first",
            grouped(x.n_nan),
            grouped(x.n_infinite)
        ));
    }
    for duplicates in &inspection.duplicates {
        let what = if duplicates.table == "obs" { "cell" } else { "gene" };
        remarks.push(format!(
            "{} {what} names occur more than once: make them unique first (in Python: \
             adata.{}_names_make_unique())",
            duplicates.names.len(),
            duplicates.table
        ));
    }
    let Some(summary) = &inspection.perturbations else { return remarks };
    let column = &summary.column;
    if summary.n_missing > 0 {
        let n = grouped(summary.n_missing);
        remarks.push(format!("{n} cells have no value in obs[\"{column}\"]: fill it or remove them"));
    }
    if let Some(first) = summary.unreadable.first() {
        remarks.push(format!(
            "{} labels in obs[\"{column}\"] cannot be read, such as `{}`: {}",
            summary.unreadable.len(),
            first.label,
            first.reason
        ));
    }
    if let Some(first) = summary.joined_by_underscore.first() {
        remarks.push(format!(
            "{} labels look like two names joined by `_`, such as `{first}`: they count as single perturbations; if \
             they are combinations, rename them with ` + `",
            summary.joined_by_underscore.len()
        ));
    }
    remarks
}

/// The flag that names the counts, none if X holds them; what to do if nothing looks like counts.
fn counts_flag(matrices: &[MatrixSummary]) -> Result<Option<String>, String> {
    let Some(x) = matrices.first().filter(|x| x.looks_like != Scale::Counts) else { return Ok(None) };
    let layers = matrices.iter().filter(|matrix| matrix.looks_like == Scale::Counts);
    let named = layers.filter_map(|matrix| matrix.name.strip_prefix("layers[\"")?.strip_suffix("\"]"));
    match named.into_iter().next() {
        Some(name) => Ok(Some(format!("--counts-layer {}", quote(name)))),
        None => Err(format!(
            "`scflow preprocess` needs raw counts, but X looks like {} and no layer looks like counts: put the counts \
             into X or into a layer",
            x.looks_like.words()
        )),
    }
}

/// Asks for the column that names the perturbation.
fn which_column(inspection: &Inspection, file: &str) -> (String, Vec<String>) {
    let candidates: Vec<String> =
        inspection.suggestions.iter().take(5).map(|suggestion| format!("`{}`", suggestion.column)).collect();
    let best = inspection.suggestions.first();
    let column = best.map_or_else(|| "COLUMN".to_owned(), |suggestion| quote(&suggestion.column));
    let control = best.and_then(|suggestion| suggestion.controls.first());
    let control = control.map_or_else(|| "NAME".to_owned(), |control| quote(control));
    let remark = match candidates.as_slice() {
        [] => {
            "no column of obs has a usual name for perturbations or a usual control: tell which one it is, and which \
               of its values is the control"
                .to_owned()
        }
        some => format!(
            "these columns may name the perturbation: {}; tell which one it is, and which of its values is the control",
            some.join(", ")
        ),
    };
    let command = vec![
        format!("scflow inspect {file}"),
        format!("--perturbation-column {column}"),
        format!("--control {control}"),
    ];
    (remark, command)
}

/// At most this many conditions are proposed,
const MAX_HELD_OUT: usize = 4;
/// and at most one of this many candidates.
const ONE_OF: usize = 4;

/// Conditions to hold out: large combinations of parts that occur alone, no part twice; else one perturbation in one
/// kind of cell.
fn held_out(summary: &PerturbationSummary) -> Result<Vec<String>, String> {
    let candidates = summary.candidates();
    let enough: Vec<_> = candidates.iter().filter(|candidate| candidate.n_cells >= FEW_CELLS).collect();
    let wanted = enough.len().div_ceil(ONE_OF).min(MAX_HELD_OUT);
    let mut chosen = Vec::new();
    let mut used = Vec::<&String>::new();
    for candidate in enough {
        if chosen.len() < wanted && !candidate.components.iter().any(|component| used.contains(&component)) {
            used.extend(&candidate.components);
            chosen.push(candidate.components.clone());
        }
    }
    if !chosen.is_empty() {
        chosen.sort();
        return Ok(chosen.iter().map(|components| joined(components)).collect());
    }
    if let Some(transfer) = &summary.transfer {
        let component = std::slice::from_ref(&transfer.component);
        return Ok(vec![format!("{} | {}={}", joined(component), transfer.covariate, transfer.value)]);
    }
    Err("no combination has all of its parts alone, and no perturbation occurs in two kinds of cells: choose what to hold \
         out in a table with the columns perturbation and split (train, val, test)"
        .into())
}

/// `drug A + drug B`, with quotes where a name contains a plus.
fn joined(components: &[String]) -> String {
    Perturbation::try_from(components.to_vec())
        .map_or_else(|_| components.join(" + "), |perturbation| perturbation.join(" + "))
}

/// `screen.h5ad` becomes `screen_prepared.h5ad`, in the folder where the command is typed.
fn output(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    format!("{}_prepared.h5ad", name.strip_suffix(".h5ad").unwrap_or(name))
}

/// The word as a shell reads it back.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=+,@%-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else if !word.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{word}\"")
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quote("KLF1+MAP2K6"), "KLF1+MAP2K6");
        assert_eq!(quote("drug A + drug B"), "\"drug A + drug B\"");
        assert_eq!(quote("\"Na+\" + it's"), "'\"Na+\" + it'\\''s'");
        assert_eq!(quote(""), "\"\"");
    }

    #[test]
    fn a_name_with_a_plus_keeps_its_quotes() {
        assert_eq!(joined(&["Na+".into(), "drug B".into()]), "\"Na+\" + drug B");
        assert_eq!(joined(&["Na+ @ 1 uM".into(), "drug B".into()]), "\"Na+\" @ 1 uM + drug B");
    }

    #[test]
    fn the_output_goes_beside_the_user() {
        assert_eq!(output("../data/screen.h5ad"), "screen_prepared.h5ad");
    }
}
