//! What all drawings share: colours of the page or of print, their text, and the ways out as SVG and PNG.

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::Scene;
use kuva::render::theme::Theme;

use crate::{Error, Result};

/// Pixels of a PNG for each unit of the drawing: at 96 units to the inch, this is print quality.
const PIXELS: f32 = 3.0;

/// Colours of Leiden labels in print; further labels use them again.
pub const LABELS: [&str; 18] = [
    "#2f6fd0", "#d9590c", "#2b9a4b", "#c93a4b", "#8a56c9", "#9a6a3c", "#d05fae", "#5f7f8f", "#9a9a14", "#14a0ae",
    "#e0a020", "#5b4fc0", "#78b428", "#b0486f", "#3f7f6a", "#c77d5a", "#7f9fd8", "#b58fd0",
];
/// Colours by what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Colours {
    /// Real cells.
    pub real: &'static str,
    /// Generated cells.
    pub generated: &'static str,
    /// Control cells.
    pub control: &'static str,
    ink: &'static str,
    muted: &'static str,
    line: &'static str,
    background: &'static str,
    font: &'static str,
}

impl Colours {
    /// Those of the page's style, which follow light and dark.
    pub const PAGE: Self = Self {
        real: "var(--real)",
        generated: "var(--generated)",
        control: "var(--control)",
        ink: "var(--ink)",
        muted: "var(--muted)",
        line: "var(--line)",
        background: "none",
        font: "system-ui, sans-serif",
    };
    /// Those of the light page, for a file of its own.
    pub const PRINT: Self = Self {
        real: "#1273b5",
        generated: "#d9590c",
        control: "#c3c9cf",
        ink: "#1c2024",
        muted: "#5c6670",
        line: "#dde1e5",
        background: "#ffffff",
        font: "Helvetica, Arial, sans-serif",
    };

    /// Axes, ticks and text in these colours.
    pub fn theme(&self) -> Theme {
        Theme {
            background: self.background.into(),
            axis_color: self.muted.into(),
            grid_color: self.line.into(),
            tick_color: self.muted.into(),
            text_color: self.ink.into(),
            legend_bg: self.background.into(),
            legend_border: self.line.into(),
            font_family: Some(self.font.into()),
            ..Theme::light()
        }
    }
}

/// The drawing as an element of the page; `described`, escaped, is read out in its place.
pub fn element(scene: &Scene, id: &str, described: &str) -> String {
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{described}\">{}</svg>",
        scene.width,
        scene.height,
        svg(scene, id)
    )
}

/// The drawing as a file.
pub fn svg(scene: &Scene, id: &str) -> String {
    renumber(&SvgBackend::new().render_scene(scene), id)
}

/// The drawing as a picture.
///
/// # Errors
/// [`Error::Backend`] if it cannot be drawn.
pub fn png(scene: &Scene) -> Result<Vec<u8>> {
    PngBackend::new()
        .with_scale(PIXELS)
        .render_scene(scene)
        .map_err(|reason| Error::backend("drawing a picture", reason))
}

/// A tick's number without needless digits.
pub fn tick(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (3 - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Names clip paths after the drawing: kuva numbers them through the life of the process, so that the bytes of a second
/// report would differ.
fn renumber(svg: &str, id: &str) -> String {
    const NAME: &str = "kuva-clip-";
    let mut known = Vec::<&str>::new();
    let mut parts = svg.split(NAME);
    let mut renumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = &part[..part.len() - rest.len()];
        let place = known.iter().position(|own| *own == number).unwrap_or_else(|| {
            known.push(number);
            known.len() - 1
        });
        renumbered.push_str(&format!("clip-{id}-{place}{rest}"));
    }
    renumbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!([0.0, 0.1, 1.5e-3, -20.0, 1e5].map(tick), ["0", "0.1", "0.0015", "-20", "100000"]);
    }

    #[test]
    fn colours_of_print_are_those_of_the_light_page() {
        let style = include_str!("page.css");
        let light = &style[..style.find("prefers-color-scheme").unwrap()];
        for (label, colour) in LABELS.iter().enumerate() {
            assert!(light.contains(&format!("--c{label}: {colour};")), "{label}");
        }
        let Colours { real, generated, control, ink, muted, line, .. } = Colours::PRINT;
        let named = [("real", real), ("generated", generated), ("control", control), ("ink", ink), ("muted", muted)];
        for (name, colour) in named.into_iter().chain([("line", line)]) {
            assert!(light.contains(&format!("--{name}: {colour};")), "{name}");
        }
    }

    #[test]
    fn clip_paths_keep_apart_and_forget_their_first_numbers() {
        let svg = "a kuva-clip-71 b kuva-clip-9\" kuva-clip-71)";
        assert_eq!(renumber(svg, "x"), "a clip-x-0 b clip-x-1\" clip-x-0)");
    }
}
