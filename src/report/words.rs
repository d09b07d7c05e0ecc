//! The words of the page for the names of the tables.

/// What a method is, for people; the name itself where there is no better one.
pub fn method(name: &str) -> &str {
    match name {
        "model" => "the model",
        "control_mean" => "control cells as they are",
        "perturbed_mean" => "the mean perturbation",
        "additive" => "the additive estimate",
        "split_half" => "halves of the real cells",
        other => other,
    }
}

/// How a method makes its cells; empty for methods that the page does not know.
pub fn method_explained(name: &str) -> &str {
    match name {
        "model" => "the generated cells of the prediction",
        "control_mean" => "training control cells, not moved at all: what a model that learnt nothing would answer",
        "perturbed_mean" => "training control cells moved by the mean effect of all training perturbations",
        "additive" => "training control cells moved by the sum of the effects of the single components",
        "split_half" => {
            "one half of the real cells against the other half: the ceiling that the data allow, not a competitor; halves \
             of few cells are noisy, and a model of the mean may pass them"
        }
        _ => "",
    }
}

/// What a method of `scflow fit` is; empty for methods that the page does not know.
pub fn fitted_method_explained(name: &str) -> &str {
    match name {
        "calmflow" => "flow matching as a Volterra equation, solved by a causal language model",
        "cfm" => "conditional flow matching: a perceptron is the velocity field of straight paths",
        "cfm-ot" => "the same, source and cells paired by exact optimal transport",
        "cfm-sb" => "the same, paired by entropic transport, with a Brownian bridge between them",
        "scvi" => "a variational autoencoder of counts, told of perturbation and covariates",
        "cpa" => {
            "a compositional perturbation autoencoder: effects are added to a basal state that an adversary keeps free of them"
        }
        "scgpt" => {
            "a transformer over genes takes control cells to the mean that it expects of them once they are perturbed"
        }
        "control-mean" => "every cell is the mean of the training control cells: no effect, no spread",
        "perturbed-mean" => "every cell is the mean of all perturbed training cells",
        "additive" => "every cell is the control mean plus the sum of the single effects",
        "linear" => "every cell is the mean that a ridge regression on factors of genes and perturbations tells",
        "additive-shift" => "training control cells, moved by the sum of the single effects",
        "interaction-shift" => "training control cells, moved by shrunk effects and an interaction in closed form",
        other => method_explained(other),
    }
}

/// What a metric is called in a sentence; the name itself where there is no better one.
pub fn metric(name: &str) -> &str {
    match name {
        "mmd2_rbf_median" => "MMD²",
        "w2_exact" => "2-Wasserstein",
        "edist_l2" => "energy distance",
        "std_ratio" => "spread ratio",
        "pearson_delta" => "Pearson of Δ",
        "r2_mean" => "R² of means",
        "leiden_kld" => "Leiden KL",
        "leiden_total_variation" => "Leiden TV",
        "kmeans_kld" => "k-means KL",
        "kmeans_total_variation" => "k-means TV",
        other => other,
    }
}

/// Which values are good, as a sign and in words.
pub fn better(direction: &str) -> (&str, &str) {
    match direction {
        "lower" => ("↓", "lower is better"),
        "higher" => ("↑", "higher is better"),
        "one" => ("→1", "closer to one is better"),
        "zero" => ("→0", "closer to zero is better"),
        _ => ("", "no direction is given"),
    }
}

/// What a status says of a condition.
pub fn status(name: &str) -> String {
    let (counts, within) = match name.strip_suffix("_in_combinations").and_then(|rest| rest.rsplit_once('_')) {
        Some((counts, within)) => (counts, Some(within)),
        None => (name, None),
    };
    let counts = counts.strip_suffix("_seen").and_then(|rest| rest.split_once("_of_"));
    match (name, counts) {
        ("seen", _) => "was in training".into(),
        ("unseen", _) => "no component was in training".into(),
        ("unseen_combination", _) => "combination not in training, its components were".into(),
        ("unseen_covariates", _) => "perturbation in training, but not with these covariates".into(),
        (_, Some((k, n))) => {
            let within = within.map(|within| format!(", {within} within combinations only")).unwrap_or_default();
            format!("{k} of {n} components were measured alone in training{within}")
        }
        _ => name.replace('_', " "),
    }
}

/// What conditions a stratum holds.
pub fn stratum(name: &str) -> String {
    let combination = name.strip_prefix("combo_seen").map(|rest| rest.split_once("_of_").unwrap_or((rest, "2")));
    match (name, combination) {
        ("train", _) => "conditions that were in training".into(),
        ("unseen_single", _) => "single perturbations that were not measured alone".into(),
        ("unseen_covariate", _) => "perturbations that were measured, but not with these covariates".into(),
        ("several", _) => "conditions that are nearer to training in one split than in another".into(),
        (_, Some((k, n))) if k == n => "combinations, every component was measured alone".into(),
        (_, Some((k, n))) => format!("combinations, {k} of {n} components were measured alone"),
        _ => name.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use crate::conditions::status::Status;

    #[test]
    fn every_status_and_stratum_has_words() {
        let told = |status: Status| [super::status(&status.to_string()), super::stratum(&status.stratum())];
        let [status, stratum] = told(Status::Partly { n_alone: 1, n_within: 1, n: 2 });
        assert_eq!(status, "1 of 2 components were measured alone in training, 1 within combinations only");
        assert_eq!(stratum, "combinations, 1 of 2 components were measured alone");
        let [status, stratum] = told(Status::Partly { n_alone: 2, n_within: 0, n: 3 });
        assert_eq!(status, "2 of 3 components were measured alone in training");
        assert_eq!(stratum, "combinations, 2 of 3 components were measured alone");
        for status in [
            Status::Seen,
            Status::UnseenCovariates,
            Status::UnseenCombination { n: 2 },
            Status::Partly { n_alone: 0, n_within: 0, n: 1 },
        ] {
            for (words, name) in told(status).iter().zip([status.to_string(), status.stratum()]) {
                assert!(*words != name.replace('_', " ") && !words.is_empty(), "{name}: {words}");
            }
        }
    }
}
