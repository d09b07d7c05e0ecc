//! Conditions in words.

use std::collections::BTreeSet;

use super::Condition;
use super::descriptions::Descriptions;
use super::tokenizer::Tokenizer;
use crate::error::refuse;
use crate::{Error, Result};

/// A sentence with places for the perturbation, for descriptions of its components and for covariates, such as
/// `Generate a {cell_type} cell perturbed with {perturbation}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Perturbation,
    Descriptions,
    Covariate(String),
}

impl Template {
    /// Reads a template whose places in braces are `perturbation`, `descriptions` or one of the covariates.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for an unknown place, an open brace, or a template without `{perturbation}`.
    pub fn parse(text: &str, covariates: &[String]) -> Result<Self> {
        let invalid = |reason: String| Error::InvalidParameter { name: "prompt".into(), value: text.into(), reason };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let Some(length) = rest[start..].find('}') else {
                return Err(invalid("a brace is left open".into()));
            };
            let place = &rest[start + 1..start + length];
            parts.push(Part::Words(rest[..start].to_owned()));
            match place {
                "perturbation" => parts.push(Part::Perturbation),
                "descriptions" => parts.push(Part::Descriptions),
                _ if covariates.iter().any(|covariate| covariate == place) => {
                    parts.push(Part::Covariate(place.to_owned()));
                }
                _ => {
                    let own = ["{perturbation}", "{descriptions}"].map(String::from).into_iter();
                    let known = own.chain(covariates.iter().map(|covariate| format!("{{{covariate}}}")));
                    let known = known.collect::<Vec<_>>().join(", ");
                    return Err(invalid(format!("`{{{place}}}` is unknown; known places: {known}")));
                }
            }
            rest = &rest[start + length + 1..];
        }
        parts.push(Part::Words(rest.to_owned()));
        if !parts.contains(&Part::Perturbation) {
            return Err(invalid("`{perturbation}` must occur".into()));
        }
        Ok(Self { text: text.into(), parts })
    }

    /// The template that names every covariate: `Generate a cell with cell_type {cell_type} perturbed with {perturbation}`.
    pub fn plain(covariates: &[String]) -> String {
        let named: Vec<String> =
            covariates.iter().map(|covariate| format!(" with {covariate} {{{covariate}}}")).collect();
        format!("Generate a cell{} perturbed with {{perturbation}}", named.concat())
    }

    /// The template's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The covariates that the template names.
    fn covariates(&self) -> impl Iterator<Item = &String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Covariate(covariate) => Some(covariate),
            Part::Words(_) | Part::Perturbation | Part::Descriptions => None,
        })
    }

    fn has_descriptions(&self) -> bool {
        self.parts.contains(&Part::Descriptions)
    }

    /// The prompt of a condition, its components in this order: `A + B`, or `A (text) + B (text)` where there are
    /// descriptions and no place of their own for them; the control is `no perturbation`.
    fn fill(&self, condition: &Condition, order: &[usize], descriptions: &Descriptions) -> String {
        let components: Vec<&String> = order.iter().map(|&place| &condition.perturbation.components()[place]).collect();
        let named = |component: &&String| match descriptions.get(component) {
            Some(text) if !self.has_descriptions() => format!("{component} ({text})"),
            _ => (*component).clone(),
        };
        let described = || {
            let texts = components.iter().filter_map(|name| Some(format!("{name}: {}", descriptions.get(name)?)));
            texts.collect::<Vec<_>>().join("; ")
        };
        let fill = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Perturbation if components.is_empty() => "no perturbation".to_owned(),
            Part::Perturbation => components.iter().map(named).collect::<Vec<_>>().join(" + "),
            Part::Descriptions => described(),
            Part::Covariate(covariate) => condition.covariates.get(covariate).cloned().unwrap_or_default(),
        };
        self.parts.iter().map(fill).collect()
    }
}

/// How conditions are put into words: one template or several that say the same, and descriptions of components.
///
/// In training a condition is met in every template and in many orders of its components; a prediction is asked for in the
/// first template, components in bytewise order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrasing {
    templates: Vec<Template>,
    descriptions: Descriptions,
}

impl Phrasing {
    /// Up to this many components, every order is used; beyond, the rotations of the bytewise order and of its reverse.
    const MOST_PERMUTED: usize = 4;

    /// Reads templates; without any, the plain one holds.
    ///
    /// # Errors
    /// Those of [`Template::parse`]; [`Error::InvalidParameter`] for a template that comes twice, and for a place of
    /// descriptions where nothing is described.
    pub fn new(templates: &[String], covariates: &[String], descriptions: Descriptions) -> Result<Self> {
        let plain = [Template::plain(covariates)];
        let texts = if templates.is_empty() { &plain[..] } else { templates };
        let mut read: Vec<Template> = Vec::with_capacity(texts.len());
        for text in texts {
            let template = Template::parse(text, covariates)?;
            if read.contains(&template) {
                return refuse("prompt", text, "it is given twice");
            }
            if template.has_descriptions() && descriptions.is_empty() {
                return refuse("prompt", text, "`{descriptions}` needs a table of them: give --descriptions FILE.csv");
            }
            read.push(template);
        }
        Ok(Self { templates: read, descriptions })
    }

    /// The texts of the templates.
    pub fn templates(&self) -> Vec<String> {
        self.templates.iter().map(|template| template.text.clone()).collect()
    }

    /// The first template's text.
    pub fn first(&self) -> &str {
        self.templates.first().map_or("", Template::text)
    }

    /// The covariates that templates name.
    pub fn covariates(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.templates.iter().flat_map(Template::covariates).collect();
        names.into_iter().cloned().collect()
    }

    /// What is known of components.
    pub fn descriptions(&self) -> &Descriptions {
        &self.descriptions
    }

    /// Takes more descriptions.
    ///
    /// # Errors
    /// Those of [`Descriptions::add`].
    pub fn describe(&mut self, more: &Descriptions) -> Result<()> {
        self.descriptions.add(more)
    }

    /// The prompt by which cells of a condition are asked for.
    pub fn prompt(&self, condition: &Condition) -> String {
        let order: Vec<usize> = (0..condition.perturbation.components().len()).collect();
        self.templates.first().map(|template| template.fill(condition, &order, &self.descriptions)).unwrap_or_default()
    }

    /// All prompts of a condition in training, that of [`Self::prompt`] first: every template, and, where it matters to the
    /// reader, in many orders of the components.
    pub fn prompts(&self, condition: &Condition, in_any_order: bool) -> Vec<String> {
        let n = condition.perturbation.components().len();
        let orders = if in_any_order { orders(n) } else { vec![(0..n).collect()] };
        let of = |template: &Template| -> Vec<String> {
            orders.iter().map(|order| template.fill(condition, order, &self.descriptions)).collect()
        };
        self.templates.iter().flat_map(of).collect()
    }

    /// A tokenizer of its own, for all prompts of these conditions.
    ///
    /// # Errors
    /// Those of [`Tokenizer::fit`].
    pub fn fit_tokenizer(&self, conditions: &[Condition]) -> Result<Tokenizer> {
        let distinct: BTreeSet<&Condition> = conditions.iter().collect();
        let prompts: Vec<String> = distinct.into_iter().flat_map(|condition| self.prompts(condition, false)).collect();
        Tokenizer::fit(&prompts)
    }
}

/// Orders of `n` things, the given one first.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n > Phrasing::MOST_PERMUTED {
        let rotation = |start: usize| (0..n).map(move |place| (start + place) % n);
        let forward = (0..n).map(|start| rotation(start).collect());
        return forward.chain((0..n).map(|start| rotation(start).rev().collect())).collect();
    }
    let mut orders = vec![Vec::new()];
    for _ in 0..n {
        let longer = |order: &Vec<usize>| -> Vec<Vec<usize>> {
            let free = (0..n).filter(|place| !order.contains(place));
            free.map(|place| order.iter().copied().chain([place]).collect()).collect()
        };
        orders = orders.iter().flat_map(longer).collect();
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrasing(templates: &[&str], described: &[(&str, &str)]) -> Result<Phrasing> {
        let templates: Vec<String> = templates.iter().map(ToString::to_string).collect();
        let descriptions = described.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Phrasing::new(&templates, &["cell_type".to_owned()], Descriptions::new(descriptions).unwrap())
    }

    fn condition(text: &str) -> Condition {
        Condition::parse(text, "control").unwrap()
    }

    #[test]
    fn places_are_filled_and_unknown_ones_refused() {
        let own = phrasing(&["A {cell_type} with {perturbation}."], &[]).unwrap();
        assert_eq!(own.prompt(&condition("IL-6+IFNb | cell_type=B cell")), "A B cell with IFNb + IL-6.");
        assert_eq!(own.prompt(&condition("control | cell_type=B cell")), "A B cell with no perturbation.");
        assert_eq!(
            (own.covariates(), own.first()),
            (vec!["cell_type".to_owned()], "A {cell_type} with {perturbation}.")
        );
        let error = phrasing(&["{celltype} {perturbation}"], &[]).unwrap_err().to_string();
        let parts = ["`{celltype}` is unknown", "{perturbation}, {descriptions}, {cell_type}"];
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        for templates in [&["{perturbation"][..], &["x"], &["{perturbation}", "{perturbation}"]] {
            assert!(phrasing(templates, &[]).is_err(), "{templates:?}");
        }
        assert!(phrasing(&["{perturbation} {descriptions}"], &[]).unwrap_err().to_string().contains("--descriptions"));
        assert!(phrasing(&[], &[]).unwrap().first().starts_with("Generate a cell"));
    }

    #[test]
    fn descriptions_follow_names_or_stand_in_a_place_of_their_own() {
        let described = [("A", "activates X"), ("B", "blocks Y")];
        let after = phrasing(&["a cell with {perturbation}"], &described).unwrap();
        assert_eq!(after.prompt(&condition("B+A+C")), "a cell with A (activates X) + B (blocks Y) + C");
        let mut apart = phrasing(&["with {perturbation}. {descriptions}."], &described).unwrap();
        assert_eq!(apart.prompt(&condition("A+B+C")), "with A + B + C. A: activates X; B: blocks Y.");
        assert_eq!(apart.prompt(&condition("control")), "with no perturbation. .");
        apart.describe(&Descriptions::new([("C".to_owned(), "new".to_owned())]).unwrap()).unwrap();
        assert_eq!(apart.prompt(&condition("C")), "with C. C: new.");
    }

    #[test]
    fn in_training_every_template_comes_with_every_order() {
        let own = phrasing(&["with {perturbation}", "{perturbation} on {cell_type}"], &[]).unwrap();
        let asked = condition("A+B | cell_type=T");
        assert_eq!(own.prompts(&asked, true), ["with A + B", "with B + A", "A + B on T", "B + A on T"]);
        assert_eq!(own.prompts(&asked, false), ["with A + B", "A + B on T"]);
        assert_eq!(own.prompts(&asked, true)[0], own.prompt(&asked));
        assert_eq!([0, 1, 2, 3, 4].map(|n| orders(n).len()), [1, 1, 2, 6, 24]);
        let many = orders(6);
        let distinct: BTreeSet<&Vec<usize>> = many.iter().collect();
        assert!(distinct.len() == 12 && many.iter().all(|order| order.iter().sum::<usize>() == 15));
        assert_eq!(many[0], [0, 1, 2, 3, 4, 5]);
        for place in 0..6 {
            assert_eq!(many.iter().map(|order| order[place]).collect::<BTreeSet<_>>().len(), 6);
        }
    }
}
