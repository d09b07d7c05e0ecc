//! The plan of the house: modules use only modules declared above them; heavy dependencies have one home each.

use std::path::{Path, PathBuf};

/// Dependency → the only folder of `src` that may name it.
const HOMES: [(&str, &str); 8] = [
    ("hdf5::", "io"),
    ("hdf5_sys::", "io"),
    ("polars::", "io"),
    ("clap::", "cli"),
    ("tokenizers::", "conditions"),
    ("kuva::", "report"),
    ("linfa_clustering::", "embedding"),
    ("candle_transformers::", "language"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules in the order of `lib.rs`.
fn modules() -> Vec<String> {
    let text = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    text.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// Every file of `src` below a module: module, path, code.
fn files() -> Vec<(String, PathBuf, String)> {
    fn collect(path: &Path, module: &str, files: &mut Vec<(String, PathBuf, String)>) {
        if !path.exists() {
            // A module is a folder or a file.
        } else if path.is_dir() {
            for entry in std::fs::read_dir(path).unwrap() {
                collect(&entry.unwrap().path(), module, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((module.to_owned(), path.to_owned(), code(&std::fs::read_to_string(path).unwrap())));
        }
    }
    let mut files = Vec::new();
    for module in modules() {
        collect(&source().join(&module), &module, &mut files);
        collect(&source().join(format!("{module}.rs")), &module, &mut files);
    }
    files
}

/// The lines that are neither comments nor unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names after each `crate::`, also within braces.
fn used(code: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let Some(group) = part.strip_prefix('{') else {
            names.push(name(part));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (place, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    names.push(name(&group[start..place]));
                    start = place + 1;
                    if character == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn modules_use_only_modules_declared_above_them() {
    let modules = modules();
    let place = |name: &str| modules.iter().position(|module| module == name);
    let files = files();
    assert!(modules.len() > 10 && files.len() > 50, "{} modules, {} files", modules.len(), files.len());
    let mut wrong = Vec::new();
    for (module, path, code) in &files {
        for name in used(code) {
            if place(&name) > place(module) {
                wrong.push(format!("{} uses {name}, which is declared below {module}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn heavy_dependencies_have_one_home_each() {
    let mut wrong = Vec::new();
    for (module, path, code) in files() {
        for (dependency, home) in HOMES {
            if module != home && names(&code, dependency) {
                wrong.push(format!("{} names {dependency}, whose home is {home}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// True if the path stands in the code as a word of its own, not as the end of another (`crate::io::hdf5::` is ours).
fn names(code: &str, dependency: &str) -> bool {
    code.match_indices(dependency).any(|(place, _)| {
        let before = code[..place].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn uses_are_found_in_every_way_they_are_written() {
    let code = code(
        "use crate::cells::{Cells, Column};\nuse crate::{Error, io::{self, h5ad}, flow};\n// crate::cli\nlet x = crate::models::fit();",
    );
    assert_eq!(used(&code), ["cells", "Error", "io", "flow", "models"]);
    assert!(names("use clap::Parser;", "clap::") && !names("use crate::clap::Parser;", "clap::"));
}
