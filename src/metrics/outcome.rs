//! What became of the metrics of one method on one condition.

use std::collections::BTreeMap;

use crate::Result;

/// Something, or why it is not there.
pub type Found<T> = std::result::Result<T, String>;

/// Values, and reasons for those that are not there.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Metric → value.
    pub values: BTreeMap<String, f64>,
    /// Metric → why it could not be computed.
    pub missing: BTreeMap<String, String>,
    /// Metric → why the data ask no such question, which is no failure.
    pub undefined: BTreeMap<String, String>,
}

impl Outcome {
    /// Keeps a value, or the reason why there is none.
    pub fn keep(&mut self, metric: &str, value: Result<f64>) {
        match value {
            Ok(value) if value.is_finite() => drop(self.values.insert(metric.into(), value)),
            Ok(value) => drop(self.missing.insert(metric.into(), format!("the value is {value}"))),
            Err(error) => drop(self.missing.insert(metric.into(), error.line())),
        }
    }

    /// Keeps a value, or the reason that was found earlier why there can be none.
    pub fn keep_if<T>(&mut self, metric: &str, found: &Found<T>, value: impl FnOnce(&T) -> Result<f64>) {
        match found {
            Ok(found) => self.keep(metric, value(found)),
            Err(reason) => drop(self.missing.insert(metric.into(), reason.clone())),
        }
    }

    /// Keeps a value, or tells why the data ask no such question.
    pub fn keep_or_leave_open(&mut self, metric: &str, value: Option<Result<f64>>, reason: &str) {
        match value {
            Some(value) => self.keep(metric, value),
            None => self.leave_open(metric, reason),
        }
    }

    /// Tells why the data ask no such question.
    pub fn leave_open(&mut self, metric: &str, reason: &str) {
        self.undefined.insert(metric.into(), reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_a_value_or_a_reason() {
        let mut outcome = Outcome::default();
        outcome.keep("a", Ok(1.0));
        outcome.keep("b", Ok(f64::NAN));
        outcome.keep_if("c", &Err::<(), _>("no control cells".into()), |()| Ok(1.0));
        outcome.keep_or_leave_open("d", None, "one condition");
        assert_eq!(outcome.values, BTreeMap::from([("a".into(), 1.0)]));
        assert_eq!(outcome.missing["b"], "the value is NaN");
        assert_eq!(
            (outcome.missing["c"].as_str(), outcome.undefined["d"].as_str()),
            ("no control cells", "one condition")
        );
    }
}
