//! What a fit knows of conditions in words.

use std::sync::Arc;

use super::TextNetwork;
use crate::conditions::prompt::Phrasing;

/// How conditions are put into words, with the descriptions of their components, and who reads these.
#[derive(Debug, Clone)]
pub struct Wording {
    /// Sentences and descriptions.
    pub phrasing: Phrasing,
    /// The network that makes vectors of descriptions; their words do if there is none.
    pub network: Option<Arc<TextNetwork>>,
}

impl From<Phrasing> for Wording {
    fn from(phrasing: Phrasing) -> Self {
        Self { phrasing, network: None }
    }
}
