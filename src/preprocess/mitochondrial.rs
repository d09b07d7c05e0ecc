//! Which genes are mitochondrial.

use crate::cells::{Annotations, Column};
use crate::error::refuse;
use crate::{Error, Result};

/// Columns of `var` that hold gene symbols in published files.
const SYMBOL_COLUMNS: [&str; 6] = ["gene_symbols", "gene_symbol", "gene_name", "gene_names", "feature_name", "symbol"];
/// How symbols of mitochondrial genes start in published files: human, mouse, others, and names that R has changed.
const USUAL_PREFIXES: [&str; 5] = ["MT-", "mt-", "Mt-", "MT.", "mt."];
/// How stable identifiers of genes start, before their digits: Ensembl's of any species.
const ENSEMBL: &str = "ENS";

/// The mitochondrial genes, and what to do where there are none.
#[derive(Debug, Clone, PartialEq)]
pub struct MitochondrialGenes {
    /// Whether each gene is mitochondrial: (n_genes).
    pub is: Vec<bool>,
    /// Why none is, and what to change; empty where some are.
    pub absence: String,
    /// Whether the names cannot tell, as they are identifiers.
    pub are_identifiers: bool,
}

impl MitochondrialGenes {
    /// Genes whose symbol starts with one of the prefixes; symbols are in the column `symbols` of `var`, or are the names.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] if there is no such column; [`Error::InvalidParameter`] if it does not hold text.
    pub fn by_prefix(var: &Annotations, prefixes: &[String], symbols: Option<&str>) -> Result<Self> {
        let names: Vec<String> = match symbols {
            None => var.index.clone(),
            // A gene without a symbol is not mitochondrial.
            Some(column) => match var.column("var", column)? {
                Column::Text(_) | Column::Categorical { .. } => {
                    var.column("var", column)?.texts().into_iter().map(Option::unwrap_or_default).collect()
                }
                _ => return refuse("gene_symbols", column, "this column of var holds no text"),
            },
        };
        let is: Vec<bool> = names.iter().map(|name| starts_with_any(name, prefixes)).collect();
        let is_absent = !is.contains(&true);
        let are_identifiers = is_absent && are_identifiers(&names);
        let absence = if is_absent { absence(var, &names, prefixes, symbols) } else { String::new() };
        Ok(Self { is, absence, are_identifiers })
    }

    /// Genes that a column of `var` marks.
    ///
    /// # Errors
    /// [`Error::MissingColumn`]; [`Error::InvalidParameter`] if the column is neither true/false nor 0/1.
    pub fn by_column(var: &Annotations, column: &str) -> Result<Self> {
        let is = match var.column("var", column)? {
            Column::Boolean(is) => Some(is.clone()),
            Column::Integer(values) => ones(values, &0, &1),
            Column::Float(values) => ones(values, &0.0, &1.0),
            // A missing value is neither.
            Column::NullableBoolean(values) => values.iter().copied().collect(),
            Column::NullableInteger(values) => ones(values, &Some(0), &Some(1)),
            texts @ (Column::Text(_) | Column::Categorical { .. }) => {
                let texts: Option<Vec<String>> = texts.texts().into_iter().collect();
                texts.and_then(|texts| {
                    let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
                    ones(&lower, &"false".to_owned(), &"true".to_owned())
                })
            }
        };
        let Some(is) = is else {
            return refuse("mitochondrial_column", column, "this column of var is not true or false for every gene");
        };
        let absence = if is.contains(&true) { String::new() } else { format!("var[\"{column}\"] marks no gene") };
        Ok(Self { is, absence, are_identifiers: false })
    }

    /// Fails where a filter by mitochondrial counts can find none; `name` and `value` are those of its parameter.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if no gene is mitochondrial.
    pub fn needed_by(&self, name: &str, value: f64) -> Result<()> {
        if self.absence.is_empty() {
            return Ok(());
        }
        Err(Error::InvalidParameter { name: name.into(), value: value.to_string(), reason: self.absence.clone() })
    }
}

fn starts_with_any<P: AsRef<str>>(name: &str, prefixes: &[P]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix.as_ref()))
}

/// Whether each value is `one`, if all are `zero` or `one`.
fn ones<T: PartialEq>(values: &[T], zero: &T, one: &T) -> Option<Vec<bool>> {
    values.iter().all(|value| value == zero || value == one).then(|| values.iter().map(|value| value == one).collect())
}

/// Whether most names look like `ENSG00000187634` or `ENSMUSG00000064351.1`.
fn are_identifiers(names: &[String]) -> bool {
    let is_identifier = |name: &&String| {
        name.strip_prefix(ENSEMBL).is_some_and(|rest| {
            let digits = rest.trim_start_matches(|letter: char| letter.is_ascii_uppercase());
            digits.len() >= 6 && digits.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
        })
    };
    2 * names.iter().filter(is_identifier).count() > names.len()
}

/// Says why there is no mitochondrial gene, and what to change, as far as the names tell.
fn absence(var: &Annotations, names: &[String], prefixes: &[String], symbols: Option<&str>) -> String {
    let prefixes: Vec<String> = prefixes.iter().map(|prefix| format!("`{prefix}`")).collect();
    let place = symbols.map_or_else(String::new, |column| format!(" in var[\"{column}\"]"));
    let said = format!("no gene name{place} starts with {}", prefixes.join(" or "));
    if are_identifiers(names) {
        let holds_symbols = |column: &&str| {
            let texts = match var.get(column) {
                Some(column @ (Column::Text(_) | Column::Categorical { .. })) => column.texts(),
                _ => return false,
            };
            symbols != Some(*column) && !are_identifiers(&texts.into_iter().flatten().collect::<Vec<String>>())
        };
        let advice = match SYMBOL_COLUMNS.iter().find(|column| holds_symbols(column)) {
            Some(column) => format!("var[\"{column}\"] holds symbols: add --gene-symbols {column}"),
            None => {
                "name the column of var that holds symbols with --gene-symbols, or one that marks these genes with \
                     --mitochondrial-column"
                    .into()
            }
        };
        return format!("{said}, as names are identifiers such as `{}`; {advice}", names[0]);
    }
    let n_with = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    match USUAL_PREFIXES.iter().find(|prefix| n_with(prefix) > 0) {
        Some(prefix) => {
            format!("{said}; {} start with `{prefix}`: add --mitochondrial-prefix {prefix}", n_with(prefix))
        }
        None => format!("{said}; set --mitochondrial-prefix (mouse: mt-)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn var(names: &[&str]) -> Annotations {
        Annotations::new(prefixes(names))
    }

    #[test]
    fn several_prefixes_and_columns_of_symbols_work() {
        let mut genes = var(&["MT-ND1", "mt-Nd1", "MTOR"]);
        let found = MitochondrialGenes::by_prefix(&genes, &prefixes(&["MT-", "mt-"]), None).unwrap();
        assert_eq!((found.is, found.absence.as_str()), (vec![true, true, false], ""));
        genes.set("symbol", Column::categorical(&["A", "B", "MT-C"]));
        let found = MitochondrialGenes::by_prefix(&genes, &prefixes(&["MT-"]), Some("symbol")).unwrap();
        assert_eq!(found.is, [false, false, true]);
        assert!(MitochondrialGenes::by_prefix(&genes, &prefixes(&["MT-"]), Some("name")).is_err());
    }

    #[test]
    fn a_column_marks_genes() {
        let mut genes = var(&["a", "b"]);
        for (column, expected) in [
            (Column::Boolean(vec![false, true]), true),
            (Column::Integer(vec![0, 1]), true),
            (Column::categorical(&["False", "True"]), true),
            (Column::Integer(vec![0, 2]), false),
            (Column::Float(vec![f64::NAN, 1.0]), false),
        ] {
            genes.set("mt", column.clone());
            let found = MitochondrialGenes::by_column(&genes, "mt");
            assert_eq!(found.is_ok_and(|found| found.is == [false, true]), expected, "{column:?}");
        }
    }

    #[test]
    fn identifiers_are_told_and_the_column_of_symbols_is_named() {
        let mut genes = var(&["ENSG00000187634", "ENSG00000198888.2", "ENSMUSG00000064351"]);
        let absence = |genes: &Annotations| {
            let found = MitochondrialGenes::by_prefix(genes, &prefixes(&["MT-"]), None).unwrap();
            assert!(found.are_identifiers);
            found.needed_by("max_percent_mitochondrial", 5.0).unwrap_err().to_string()
        };
        assert!(absence(&genes).contains("such as `ENSG00000187634`; name the column"), "{}", absence(&genes));
        genes.set("gene_name", Column::Text(prefixes(&["SAMD11", "MT-ND1", "mt-Co2"])));
        assert!(absence(&genes).contains("add --gene-symbols gene_name"), "{}", absence(&genes));
    }

    #[test]
    fn another_spelling_is_named() {
        let absence =
            |names: &[&str]| MitochondrialGenes::by_prefix(&var(names), &prefixes(&["MT-"]), None).unwrap().absence;
        assert!(absence(&["Actb", "mt-Nd1", "mt-Nd2"]).contains("2 start with `mt-`: add --mitochondrial-prefix mt-"));
        assert!(
            absence(&["ENSA", "B"])
                .ends_with("no gene name starts with `MT-`; set --mitochondrial-prefix (mouse: mt-)")
        );
    }
}
