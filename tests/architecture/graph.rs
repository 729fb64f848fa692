//! Which file imports which, and circles in that.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Path, Source};

/// The packages: name in paths, folder of the sources.
const PACKAGES: [(&str, &str); 2] = [("muster_actors", "actors/src"), ("muster", "src")];

/// All files by path from the root of the repository, with the files each imports.
pub(crate) type Imports = BTreeMap<String, BTreeSet<String>>;

/// Resolves the paths of all sources to files.
pub(crate) fn imports(sources: &BTreeMap<String, Source>) -> Imports {
    let resolver = Resolver { sources };
    let of_file = |file: &String, source: &Source| {
        let targets = source.paths.iter().filter_map(|path| resolver.file_of(file, path, 0));
        targets.filter(|target| target != file).collect()
    };
    sources.iter().map(|(file, source)| (file.clone(), of_file(file, source))).collect()
}

struct Resolver<'a> {
    sources: &'a BTreeMap<String, Source>,
}

impl Resolver<'_> {
    /// The file in which the item of a path is written; `None` for foreign paths.
    fn file_of(&self, from: &str, path: &Path, depth: usize) -> Option<String> {
        let (folder, mut module) = module_of(from)?;
        let mut rest = path.as_slice();
        let mut folder = folder;
        match rest.first()?.as_str() {
            "crate" => {
                module.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
            }
            package => {
                folder = PACKAGES.iter().find(|(name, _)| *name == package)?.1;
                module.clear();
                rest = &rest[1..];
            }
        }
        // Walks down as long as the next segment is a module.
        let own_root = module.is_empty() && path[0] != "muster" && from.ends_with("src/main.rs");
        let mut file = if own_root { from.to_owned() } else { self.file_of_module(folder, &module)? };
        while let Some(segment) = rest.first() {
            module.push(segment.clone());
            let Some(deeper) = self.file_of_module(folder, &module) else { break };
            file = deeper;
            rest = &rest[1..];
        }
        // The item may only be passed on by this file.
        if let Some(item) = rest.first()
            && depth < 8
            && let Some(origin) = self.sources[&file].reexports.get(item)
        {
            let origin: Path = origin.iter().chain(&rest[1..]).cloned().collect();
            return self.file_of(&file, &origin, depth + 1);
        }
        Some(file)
    }

    fn file_of_module(&self, folder: &str, module: &[String]) -> Option<String> {
        let stem = std::iter::once(folder).chain(module.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
        let candidates =
            if module.is_empty() { vec![format!("{stem}/lib.rs")] } else { vec![format!("{stem}.rs"), format!("{stem}/mod.rs")] };
        candidates.into_iter().find(|file| self.sources.contains_key(file))
    }
}

/// Folder of the package and module path of a file.
fn module_of(file: &str) -> Option<(&'static str, Path)> {
    let (folder, inside) = PACKAGES.iter().find_map(|(_, folder)| Some((*folder, file.strip_prefix(folder)?.strip_prefix('/')?)))?;
    let mut module: Path = inside.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    Some((folder, module))
}

/// One circle for each knot of files that import each other, as `a -> b -> a`.
pub(crate) fn circles(imports: &Imports) -> Vec<String> {
    let mut imports = imports.clone();
    let mut circles = Vec::new();
    while let Some(circle) = first_circle(&imports) {
        let (last, first) = (&circle[circle.len() - 1], &circle[0]);
        if let Some(targets) = imports.get_mut(last) {
            targets.remove(first);
        }
        circles.push(format!("{} -> {first}", circle.join(" -> ")));
    }
    circles
}

fn first_circle(imports: &Imports) -> Option<Vec<String>> {
    let mut finished = BTreeSet::new();
    imports.keys().find_map(|file| circle_from(file, imports, &mut Vec::new(), &mut finished))
}

fn circle_from(file: &str, imports: &Imports, way: &mut Vec<String>, finished: &mut BTreeSet<String>) -> Option<Vec<String>> {
    if let Some(start) = way.iter().position(|passed| passed == file) {
        return Some(way[start..].to_vec());
    }
    if finished.contains(file) {
        return None;
    }
    way.push(file.to_owned());
    let found = imports.get(file).into_iter().flatten().find_map(|next| circle_from(next, imports, way, finished));
    way.pop();
    finished.insert(file.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Imports {
        imports(&files.iter().map(|(file, text)| ((*file).to_owned(), Source::parse(text))).collect())
    }

    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        graph(files).iter().flat_map(|(from, to)| to.iter().map(move |to| format!("{from} -> {to}"))).collect()
    }

    #[test]
    fn two_files_that_name_each_other_are_a_circle() {
        let found = circles(&graph(&[
            ("actors/src/lib.rs", "pub mod a; pub mod b;"),
            ("actors/src/a.rs", "use crate::b::B;"),
            ("actors/src/b.rs", "fn f() { crate::a::f() }"),
        ]));
        assert_eq!(found, ["actors/src/a.rs -> actors/src/b.rs -> actors/src/a.rs"]);
    }

    #[test]
    fn a_longer_circle_across_packages_and_folders_is_found() {
        let found = circles(&graph(&[
            ("src/lib.rs", ""),
            ("src/x/mod.rs", "pub mod y;"),
            ("src/x/y.rs", "use super::z::Z;"),
            ("src/x/z.rs", "use muster::w;"),
            ("src/w.rs", "use crate::x::y;"),
        ]));
        assert_eq!(found, ["src/w.rs -> src/x/y.rs -> src/x/z.rs -> src/w.rs"]);
    }

    #[test]
    fn each_knot_is_reported() {
        let files = [
            ("src/lib.rs", ""),
            ("src/a.rs", "use crate::b;"),
            ("src/b.rs", "use crate::a;"),
            ("src/c.rs", "use crate::d;"),
            ("src/d.rs", "use crate::c;"),
        ];
        assert_eq!(circles(&graph(&files)).len(), 2);
    }

    #[test]
    fn a_parent_that_only_declares_and_passes_on_is_no_part_of_a_circle() {
        let files = [
            ("actors/src/lib.rs", "pub mod yaml;"),
            ("actors/src/yaml/mod.rs", "mod value; mod write; pub use value::Yaml;"),
            ("actors/src/yaml/value.rs", ""),
            ("actors/src/yaml/write.rs", "use crate::yaml::Yaml;"),
        ];
        assert_eq!(edges(&files), ["actors/src/yaml/write.rs -> actors/src/yaml/value.rs"]);
    }

    #[test]
    fn a_parent_that_uses_its_child_while_the_child_uses_it_is_a_circle() {
        let files = [
            ("actors/src/lib.rs", "pub mod yaml;"),
            ("actors/src/yaml/mod.rs", "mod value; pub struct Error; fn f() { value::parse() }"),
            ("actors/src/yaml/value.rs", "use super::Error;"),
        ];
        assert_eq!(circles(&graph(&files)).len(), 1);
    }

    #[test]
    fn foreign_paths_and_paths_to_oneself_are_no_imports() {
        let files = [("src/lib.rs", ""), ("src/a.rs", "use std::fmt; use actix::Actor; fn f() { crate::a::g(); self::g(); Vec::new() }")];
        assert!(edges(&files).is_empty());
    }

    #[test]
    fn main_imports_the_library() {
        let files = [("src/lib.rs", ""), ("src/app.rs", ""), ("src/main.rs", "fn main() { muster::app::run() }")];
        assert_eq!(edges(&files), ["src/main.rs -> src/app.rs"]);
    }
}
