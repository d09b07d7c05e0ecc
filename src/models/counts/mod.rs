//! What methods that work on counts of genes share: conditions as codes, training cells that stay sparse, the likelihood of
//! counts with its kernel, layers of a network, where its weights start, and draws.
//!
//! The law of the count x of gene g in a cell with library size ℓ (Lopez et al. 2018, doi 10.1038/s41592-018-0229-2):
//! x ~ NB(mean c ℓ ρ_g, inverse dispersion θ_g), with ρ = softmax of the network's outputs, so that the shares of all genes
//! add up to one, and c = 1 where library sizes are sums over the same genes. Where library sizes count genes that the
//! screen does not hold, one more output stands for these. With zero inflation the count is 0 with probability π_g, whatever
//! the negative binomial says.

mod codes;
mod told;
mod cells;
mod likelihood;
mod kernel;
mod composed;
mod start;
mod layers;
mod encoded;
mod decoder;
mod data;
mod kept;
#[cfg(test)]
pub(super) mod trial;

pub use cells::{Batch, CountCells};
pub use codes::Codes;
pub use data::{CountData, Shape, slots};
pub use decoder::{CountDecoder, DecoderSizes};
pub use encoded::EncodedControls;
pub use kept::{Kept, check_draws, check_draws_without_noise};
pub use layers::{Dropout, Stack};
pub use likelihood::{CountLikelihood, Outputs, negative_log_likelihood};
pub use start::{Depth, Start};
pub use told::Told;
