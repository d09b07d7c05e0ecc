//! What was counted: genes, antibodies, guides; and which of them become the genes of a file, under which names.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::cells::{Annotations, Column};
use crate::error::refuse;
use crate::{Error, Result};

/// The type of features that is chosen by default.
const GENE_EXPRESSION: &str = "Gene Expression";
/// Chooses features of all types.
const ALL: &str = "all";

/// The features of a matrix, in its order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// Identifiers, such as `ENSG00000243485`.
    pub ids: Vec<String>,
    /// Symbols, such as `MIR1302-2HG`.
    pub symbols: Vec<String>,
    /// Types, such as `Gene Expression`; files of before 2018 have none.
    pub types: Option<Vec<String>>,
    /// Genomes, such as `GRCh38`; folders do not tell.
    pub genomes: Option<Vec<String>>,
}

/// What names the genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Names {
    /// Symbols; the identifiers become the column `gene_ids`.
    #[default]
    Symbols,
    /// Identifiers; the symbols become the column `gene_symbols`.
    Ids,
}

/// Which features are chosen, and their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// The type of the features, or `all`; by default `Gene Expression`, where there are types.
    pub feature_type: Option<String>,
    /// The genome of the features; all if absent.
    pub genome: Option<String>,
    /// What names them.
    pub names: Names,
    /// Marks names that occur more than once as scanpy's `var_names_make_unique` does, instead of refusing them.
    pub unique: bool,
}

impl Features {
    /// Number of features.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The places of the chosen features, and their table with the columns that scanpy writes; `say` tells what is left
    /// out.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if there are no features of the type or genome; [`Error::BadValues`] if names occur
    /// more than once.
    pub fn choose(&self, choice: &Choice, say: &dyn Fn(&str)) -> Result<(Vec<usize>, Annotations)> {
        let mut chosen: Vec<usize> = (0..self.len()).collect();
        if let Some(genome) = &choice.genome {
            let Some(genomes) = &self.genomes else {
                return refuse("--genome", genome, "the input does not tell the genomes of its features");
            };
            chosen = of(&chosen, genomes, genome, "--genome", "features of this genome")?;
        }
        match (&self.types, choice.feature_type.as_deref()) {
            (_, Some(ALL)) => {}
            (None, None) => {}
            (None, Some(kind)) => {
                return refuse("--feature-type", kind, "the input does not tell the types of its features");
            }
            (Some(types), kind) => {
                let kind = kind.unwrap_or(GENE_EXPRESSION);
                let kept = of(&chosen, types, kind, "--feature-type", "features of this type")?;
                if kept.len() < chosen.len() {
                    let others = chosen.iter().map(|&place| &types[place]).filter(|other| *other != kind);
                    say(&format!(
                        "left out {} features of other types than {kind}: {} (--feature-type {ALL} keeps them)",
                        chosen.len() - kept.len(),
                        counted(others)
                    ));
                }
                chosen = kept;
            }
        }
        let pick = |texts: &[String]| chosen.iter().map(|&place| texts[place].clone()).collect::<Vec<_>>();
        let (names, column, others) = match choice.names {
            Names::Symbols => (pick(&self.symbols), "gene_ids", pick(&self.ids)),
            Names::Ids => (pick(&self.ids), "gene_symbols", pick(&self.symbols)),
        };
        let names = unique(names, choice, say)?;
        let mut table = Annotations::new(names);
        table.set(column, Column::Text(others));
        for (column, values) in [("feature_types", &self.types), ("genome", &self.genomes)] {
            if let Some(values) = values {
                table.set(column, Column::categorical(&pick(values)));
            }
        }
        Ok((chosen, table))
    }
}

/// Those of the places whose text is the one asked for.
fn of(places: &[usize], texts: &[String], wanted: &str, flag: &str, what: &str) -> Result<Vec<usize>> {
    let found: Vec<usize> = places.iter().copied().filter(|&place| texts[place] == wanted).collect();
    match found.is_empty() && !places.is_empty() {
        true => {
            let there = counted(places.iter().map(|&place| &texts[place]));
            refuse(flag, wanted, &format!("there are no {what}; there are: {there}"))
        }
        false => Ok(found),
    }
}

/// Each text with its number.
fn counted<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    counts.iter().map(|(text, n)| format!("{text} ({n})")).collect::<Vec<_>>().join(", ")
}

/// Names that occur once each.
fn unique(mut names: Vec<String>, choice: &Choice, say: &dyn Fn(&str)) -> Result<Vec<String>> {
    let mut seen = HashSet::new();
    let doubled: Vec<usize> = (0..names.len()).filter(|&place| !seen.insert(names[place].clone())).collect();
    if doubled.is_empty() {
        return Ok(names);
    }
    if !choice.unique {
        let mut examples: Vec<String> = doubled.iter().map(|&place| names[place].clone()).collect();
        examples.sort();
        examples.dedup();
        let ids = if choice.names == Names::Symbols { "`--names ids` takes identifiers as names; " } else { "" };
        return Err(Error::BadValues {
            place: "names of the features".into(),
            problem: "duplicated".into(),
            n_bad: doubled.len(),
            n_total: names.len(),
            examples,
            hint: format!("{ids}`--unique` marks the later ones with -1, -2, … as scanpy's var_names_make_unique does"),
        });
    }
    // Later ones of a name get the next number that makes a name which is not there yet.
    let mut numbers = HashMap::<String, usize>::new();
    for &place in &doubled {
        let number = numbers.entry(names[place].clone()).or_default();
        let name = loop {
            *number += 1;
            let name = format!("{}-{number}", names[place]);
            if seen.insert(name.clone()) {
                break name;
            }
        };
        names[place] = name;
    }
    say(&format!("marked {} names that occurred before with -1, -2, …", doubled.len()));
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Features {
        let texts = |texts: [&str; 5]| texts.map(str::to_owned).to_vec();
        let (gene, guide) = (GENE_EXPRESSION, "CRISPR Guide Capture");
        Features {
            ids: texts(["e1", "e2", "e3", "e4", "g1"]),
            symbols: texts(["A", "B", "A", "A-1", "A"]),
            types: Some(texts([gene, gene, gene, gene, guide])),
            genomes: Some(texts(["human", "human", "human", "human", ""])),
        }
    }

    #[test]
    fn genes_are_chosen_and_doubled_symbols_refused_or_marked_as_scanpy_does() {
        let said = std::cell::RefCell::new(Vec::new());
        let say = |text: &str| said.borrow_mut().push(text.to_owned());
        let error = features().choose(&Choice::default(), &say).unwrap_err();
        assert!(error.is_mistake() && error.hint().unwrap().contains("--names ids"), "{error:?}");
        assert!(error.to_string().contains("1 of 4") && error.to_string().contains("`A`"), "{error}");
        assert!(said.borrow()[0].contains("1 features") && said.borrow()[0].contains("CRISPR Guide Capture (1)"));
        let unique = Choice { unique: true, ..Choice::default() };
        let (places, table) = features().choose(&unique, &say).unwrap();
        assert_eq!(
            (places, table.index.clone()),
            (vec![0, 1, 2, 3], ["A", "B", "A-2", "A-1"].map(str::to_owned).to_vec())
        );
        assert_eq!(table.names(), ["gene_ids", "feature_types", "genome"]);
        let all = Choice { feature_type: Some(ALL.into()), unique: true, ..Choice::default() };
        assert_eq!(features().choose(&all, &say).unwrap().1.index, ["A", "B", "A-2", "A-1", "A-3"]);
        let ids = Choice { names: Names::Ids, ..Choice::default() };
        let (_, table) = features().choose(&ids, &say).unwrap();
        assert_eq!((table.index[2].as_str(), table.names()[0].as_str()), ("e3", "gene_symbols"));
    }

    #[test]
    fn a_type_or_genome_that_does_not_occur_is_refused_with_those_that_do() {
        let choose = |choice: Choice| features().choose(&choice, &|_| ()).unwrap_err().to_string();
        let kind = choose(Choice { feature_type: Some("Antibody Capture".into()), ..Choice::default() });
        assert!(
            kind.contains("Gene Expression (4), CRISPR Guide Capture (1)")
                || kind.contains("CRISPR Guide Capture (1), Gene Expression (4)"),
            "{kind}"
        );
        assert!(choose(Choice { genome: Some("mouse".into()), ..Choice::default() }).contains("human (4)"));
        let old = Features { types: None, genomes: None, ..features() };
        let refused = |choice: Choice| old.choose(&choice, &|_| ()).unwrap_err().to_string();
        assert!(refused(Choice { genome: Some("human".into()), ..Choice::default() }).contains("does not tell"));
        assert!(refused(Choice { feature_type: Some("Other".into()), ..Choice::default() }).contains("does not tell"));
    }
}
