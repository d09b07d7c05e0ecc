//! Scores → one HTML page that needs nothing else: no network, no second file.
//!
//! The page reads what an evaluation measured and says it in words, pictures and tables. It measures nothing itself:
//! beside the numbers of the tables it only counts conditions and averages over those that two methods share. Equal
//! contents give equal bytes.

mod contents;
mod html;
mod words;
mod verdict;
mod map;
mod panels;
mod drawing;
mod curve;
mod curves;
mod changes;
mod scores;
mod strata;
mod provenance;
mod shell;
mod page;
pub mod benchmark;
pub mod figures;

pub use contents::{Contents, Kind, MapCell, MethodMeans, Metric};
pub use page::page;
pub use verdict::{Tone, Verdict, verdict};
