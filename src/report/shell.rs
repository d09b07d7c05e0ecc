//! What every page has around its sections: head, title, verdict, style and script.

use super::html::escape;
use super::verdict::{Tone, Verdict};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page; `lead` and `body` are HTML, the title is text.
pub fn shell(title: &str, lead: &str, verdict: &Verdict, body: &str) -> String {
    let title = escape(title);
    let tone = match verdict.tone {
        Tone::Better => "better",
        Tone::Mixed => "mixed",
        Tone::Worse => "worse",
        Tone::Unknown => "unknown",
    };
    let sentences: String = verdict.sentences.iter().map(|sentence| format!("<li>{}</li>", escape(sentence))).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src \
         'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{STYLE}</style></head>\n<body><main>\
         <header><h1>{title}</h1>{lead}</header>\n<section class=\"verdict {tone}\"><p class=\"headline\">{headline}</p>\
         <ul>{sentences}</ul></section>\n{body}\n\
         <footer>Made by scflow report {version}. This page is one file and needs no network.</footer></main>\n\
         <script>{SCRIPT}</script></body></html>\n",
        headline = escape(&verdict.headline),
        version = env!("CARGO_PKG_VERSION"),
    )
}
