//! Differences to the reference, condition by condition: a table, and a drawing of the first metric.

use super::verdict::{Stand, stand};
use crate::metrics::benchmark::Benchmark;
use crate::metrics::definitions;
use crate::metrics::intervals::Estimate;
use crate::metrics::leaderboard::{CEILING, FIRST, Standing};
use crate::report::html::{escape, number};
use crate::report::words;

/// The metrics that are shown.
const SHOWN: [&str; 4] = [FIRST, "mmd2_rbf_median", "w2_exact", "pearson_delta"];
const ROW: f64 = 26.0;
/// Left of the drawing stand the names.
const NAMES: f64 = 140.0;
const WIDTH: f64 = 480.0;

/// The section.
pub fn section(benchmark: &Benchmark) -> String {
    let rivals: Vec<&Standing> =
        benchmark.standings.iter().filter(|own| own.method != benchmark.reference && own.method != CEILING).collect();
    if rivals.is_empty() {
        return String::new();
    }
    let reference = escape(&benchmark.reference);
    format!(
        "<section><h2>Differences to {reference}</h2><p>Each condition is compared with itself; below the mean difference \
         stands its 95 % interval. <b>Better</b> and <b>worse</b> are said where the interval leaves zero out and six conditions stand behind it.</p>{}{}</section>",
        drawing(&rivals, &benchmark.reference),
        table(&rivals)
    )
}

fn less(own: &Standing, metric: &str) -> Option<Estimate> {
    own.places.get(metric).and_then(|place| place.less_reference)
}

fn table(rivals: &[&Standing]) -> String {
    let shown = || SHOWN.iter().filter_map(|name| definitions().iter().find(|metric| metric.name == *name));
    let heads: String = shown()
        .map(|metric| {
            let (sign, meaning) = words::better(metric.better);
            let name = escape(metric.name).replace('_', "_<wbr>");
            format!("<th class=\"n\">{name} <span title=\"{meaning}\">{sign}</span></th>")
        })
        .collect();
    let mut body = String::new();
    for own in rivals {
        let mut cells = format!("<th>{}</th>", escape(&own.method));
        for metric in shown() {
            let Some(difference) = less(own, metric.name) else {
                cells.push_str("<td class=\"n none\">–</td>");
                continue;
            };
            let word = match stand(Some(difference), metric.better) {
                Stand::Better => " <b class=\"better\">better</b>",
                Stand::Worse => " <b class=\"worse\">worse</b>",
                Stand::Undecided | Stand::Unknown => "",
            };
            let interval = difference
                .interval
                .map_or_else(String::new, |[low, high]| format!("<small>{} to {}</small>", number(low), number(high)));
            cells.push_str(&format!(
                "<td class=\"n\" data-value=\"{}\">{}{word}{interval}</td>",
                difference.mean,
                number(difference.mean)
            ));
        }
        body.push_str(&format!("<tr>{cells}</tr>"));
    }
    format!(
        "<div class=\"scroll\"><table class=\"sortable board\"><thead><tr><th>method</th>{heads}</tr></thead><tbody>{body}</tbody>\
         </table></div>"
    )
}

/// A point and an interval for each method, zero as a line.
fn drawing(rivals: &[&Standing], reference: &str) -> String {
    let shown: Vec<(&str, Estimate)> =
        rivals.iter().filter_map(|own| Some((own.method.as_str(), less(own, FIRST)?))).collect();
    let ends = shown.iter().flat_map(|(_, one)| one.interval.unwrap_or([one.mean; 2]).into_iter().chain([one.mean]));
    let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if shown.is_empty() || high <= low {
        return String::new();
    }
    // Square roots on both sides of zero: methods that lie far away must not press the others together.
    let root = |value: f64| value.abs().sqrt().copysign(value);
    let x = |value: f64| NAMES + 20.0 + (root(value) - root(low)) / (root(high) - root(low)) * (WIDTH - NAMES - 40.0);
    let height = ROW * shown.len() as f64 + 30.0;
    let mut marks = String::new();
    for (place, (name, one)) in shown.iter().enumerate() {
        let y = ROW * (place as f64 + 0.5);
        let class = match stand(Some(*one), "lower") {
            Stand::Better => "better",
            Stand::Worse => "worse",
            Stand::Undecided | Stand::Unknown => "even",
        };
        if let Some([from, to]) = one.interval {
            marks.push_str(&format!("<path class=\"{class}\" d=\"M{:.1} {y:.1}H{:.1}\"/>", x(from), x(to)));
        }
        marks.push_str(&format!(
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}: {}</title></circle>\
             <text x=\"{NAMES}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x(one.mean),
            escape(name),
            number(one.mean),
            y + 5.0,
            escape(name)
        ));
    }
    let (zero, bottom) = (x(0.0), height - 24.0);
    let metric = words::metric(FIRST);
    format!(
        "<figure class=\"wide\"><svg class=\"forest\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"difference of \
         {metric} to {reference}\"><path class=\"zero\" d=\"M{zero:.1} 0V{bottom:.1}\"/>{marks}<text class=\"axis\" x=\"{zero:.1}\" \
         y=\"{:.1}\" text-anchor=\"middle\">0</text><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></svg>\
         <figcaption>Difference of the {metric} to {reference}, with its 95 % interval, on an axis of square roots: left of zero \
         is nearer to the real cells.</figcaption></figure>",
        height - 8.0,
        WIDTH - 16.0,
        height - 8.0,
        number(high),
        reference = escape(reference)
    )
}
