//! Conditional flow matching: a perceptron is the velocity field that carries noise, or control cells, to cells.
//!
//! dφ_t/dt = v_θ(φ_t, t), fitted by min E |v_θ(x_t, t) − u_t|² over conditional paths (Lipman et al. 2022, arXiv 2210.02747).
//! Three variants by the coupling of ends and the law of x_t given both (Tong et al. 2023, arXiv 2302.00482): `cfm`
//! (independent ends, straight path), `cfm-ot` (ends paired by exact optimal transport), `cfm-sb` (paired by entropic
//! transport, Brownian bridge between them).

mod params;
mod network;
mod objective;
mod generate;
#[cfg(test)]
mod tests;

pub use generate::Cfm;
pub use objective::CfmObjective;
pub use params::{CfmParams, Variant};
