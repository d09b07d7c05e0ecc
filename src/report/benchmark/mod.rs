//! A benchmark → one HTML page: who beats the reference, the leaderboard, every condition, costs, and the audit.

mod audit;
mod conditions;
mod differences;
mod leaderboard;
mod page;
mod verdict;

pub use page::page;
pub use verdict::verdict;
