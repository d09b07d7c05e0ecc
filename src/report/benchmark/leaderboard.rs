//! The leaderboard, and what the fits took.

use crate::metrics::benchmark::Benchmark;
use crate::metrics::leaderboard::{CEILING, Standing};
use crate::report::contents::Metric;
use crate::report::html::{escape, number};
use crate::report::scores::{is_best, metric_heads};

/// The section of the leaderboard.
pub fn section(benchmark: &Benchmark, metrics: &[&Metric]) -> String {
    let heads = metric_heads(metrics);
    let body: String = benchmark.standings.iter().map(|own| row(benchmark, own, metrics)).collect();
    format!(
        "<section><h2>Leaderboard</h2><p>Means over conditions, below them the 95 % interval. <span \
         class=\"best\">Marked</span>: the best of the methods that compete. CPU seconds and memory are those of a fit with \
         everything that it reads.</p><p class=\"note click\" hidden>Click a heading to sort.</p><div class=\"scroll\"><table class=\"sortable board\"><thead><tr>\
         <th>method</th>{heads}<th class=\"n\">CPU s</th><th class=\"n\">MB</th></tr></thead><tbody>{body}</tbody></table></div></section>"
    )
}

fn row(benchmark: &Benchmark, own: &Standing, metrics: &[&Metric]) -> String {
    let ceiling = own.method == CEILING;
    let mut cells = format!("<th>{}</th>", escape(&own.method));
    for metric in metrics {
        let rivals: Vec<f64> = benchmark
            .standings
            .iter()
            .filter_map(|other| other.places.get(&metric.name).filter(|place| place.rank.is_some()))
            .map(|place| place.mean.mean)
            .collect();
        let Some(place) = own.places.get(&metric.name) else {
            cells.push_str("<td class=\"n none\" title=\"no value\">–</td>");
            continue;
        };
        let best = place.rank.is_some() && is_best(Some(place.mean.mean), &rivals, &metric.better);
        let mean = number(place.mean.mean);
        let mean = if best { format!("<b class=\"best\">{mean}</b>") } else { mean };
        let interval = match place.mean.interval {
            Some([low, high]) => format!("<small>{} to {}</small>", number(low), number(high)),
            None => String::new(),
        };
        let rank = place.rank.map_or_else(|| "no rank".to_owned(), |rank| format!("rank {rank}"));
        let n = place.mean.n;
        cells.push_str(&format!(
            "<td class=\"n\" data-value=\"{}\" title=\"{rank}, {n} conditions\">{mean}{interval}</td>",
            place.mean.mean
        ));
    }
    cells.push_str(&plain(own.fit_cpu_seconds));
    cells.push_str(&plain(own.fit_peak_memory_bytes.map(|bytes| (bytes as f64 / 1e6).round())));
    format!("<tr{}>{cells}</tr>", if ceiling { " class=\"ceiling\"" } else { "" })
}

fn plain(value: Option<f64>) -> String {
    match value {
        Some(value) => format!("<td class=\"n\" data-value=\"{value}\">{}</td>", number(value)),
        None => "<td class=\"n none\">–</td>".into(),
    }
}

/// What every fit took.
pub fn costs(benchmark: &Benchmark) -> String {
    if benchmark.costs.is_empty() {
        return String::new();
    }
    let mut body = String::new();
    for cost in &benchmark.costs {
        let mega = |bytes: u64| Some((bytes as f64 / 1e6).round());
        let whole = |value: f64| (!cost.fit.went_on).then_some(value);
        body.push_str(&format!(
            "<tr><th>{}</th><td>{}</td><td class=\"n\">{}</td>{}{}{}{}{}{}</tr>",
            escape(&cost.method),
            escape(&cost.split),
            cost.seed,
            cost.n_steps.map_or("<td class=\"n none\">–</td>".into(), |n| format!("<td class=\"n\">{n}</td>")),
            plain(whole(cost.fit.cpu_seconds)),
            plain(whole(cost.fit.wall_seconds)),
            plain(mega(cost.fit.peak_memory_bytes)),
            plain(Some(cost.predict.cpu_seconds)),
            plain(mega(cost.predict.peak_memory_bytes)),
        ));
    }
    format!(
        "<section><h2>Time and memory</h2><p>Every stage was a process of its own; the system counted its CPU seconds and the \
         most memory that was resident. A fit that went on from a checkpoint has no time.</p><div class=\"scroll\"><table \
         class=\"sortable\"><thead><tr><th>method</th><th>split</th><th class=\"n\">seed</th><th class=\"n\">steps</th><th class=\"n\">fit CPU \
         s</th><th class=\"n\">fit wall s</th><th class=\"n\">fit MB</th><th class=\"n\">predict CPU s</th><th class=\"n\">predict \
         MB</th></tr></thead><tbody>{body}</tbody></table></div></section>"
    )
}
