//! What a source file imports from its own crate, which types it defines and which functions are long. A re-export (`pub use`)
//! is a table of contents, not an import: a name that is imported through one counts as imported from where it is defined.
//! Test modules are left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use syn::visit::{self, Visit};

use crate::Package;

/// A struct, enum, trait or union.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeName {
    pub name: String,
    /// The file, from the repository's root.
    pub file: String,
}

/// One file of a crate's `src`.
#[derive(Debug, Clone)]
pub struct Source {
    /// From the repository's root.
    pub file: String,
    pub text: String,
    /// Files of the same crate that it imports from.
    pub imports: BTreeSet<String>,
    /// Public types that it defines outside of test modules.
    pub types: Vec<TypeName>,
}

type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    file: String,
    text: String,
    /// Paths that are named, as written from the crate's root.
    named: Vec<ModulePath>,
    /// What it hands on under a name: name → path from the crate's root.
    handed_on: BTreeMap<String, ModulePath>,
    /// Modules whose every name it hands on.
    handed_on_whole: Vec<ModulePath>,
    /// Macros with `#[macro_export]`: wherever they are defined, their path begins at the crate's root.
    macros: Vec<ModulePath>,
    types: Vec<String>,
}

/// The files of a crate.
pub fn sources(root: &Path, package: &Package) -> Result<Vec<Source>> {
    let src = root.join(&package.folder).join("src");
    let mut modules = BTreeMap::new();
    for file in rust_files(&src)? {
        let relative = file.strip_prefix(&src)?.with_extension("");
        let mut path: ModulePath = relative
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if matches!(
            path.last().map(String::as_str),
            Some("mod" | "lib" | "main")
        ) {
            path.pop();
        }
        let text = std::fs::read_to_string(&file)?;
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        let module = read(&path, name, text).with_context(|| file.display().to_string())?;
        modules.insert(path, module);
    }
    export_macros(&mut modules);
    Ok(modules
        .iter()
        .map(|(path, module)| Source {
            file: module.file.clone(),
            text: module.text.clone(),
            imports: imports_of(&modules, path, module),
            types: module
                .types
                .iter()
                .map(|name| TypeName {
                    name: name.clone(),
                    file: module.file.clone(),
                })
                .collect(),
        })
        .collect())
}

/// Reads the file of the module `at`.
fn read(at: &[String], file: String, text: String) -> Result<Module> {
    let parsed = syn::parse_file(&text)?;
    let mut reader = Reader {
        at: at.to_vec(),
        module: Module {
            file,
            text,
            ..Module::default()
        },
    };
    reader.visit_file(&parsed);
    Ok(reader.module)
}

/// Lets the crate's root hand on what `#[macro_export]` puts there.
fn export_macros(modules: &mut BTreeMap<ModulePath, Module>) {
    let exported: Vec<ModulePath> = modules.values().flat_map(|m| m.macros.clone()).collect();
    if let Some(root) = modules.get_mut(&ModulePath::new()) {
        for path in exported {
            if let Some(name) = path.last().cloned() {
                root.handed_on.insert(name, path);
            }
        }
    }
}

/// The other files in which what a module names is defined.
fn imports_of(
    modules: &BTreeMap<ModulePath, Module>,
    path: &[String],
    module: &Module,
) -> BTreeSet<String> {
    let named = module.named.iter();
    named
        .filter_map(|named| defined_in(modules, named, 8))
        .filter(|other| *other != *path)
        .filter_map(|other| modules.get(&other).map(|module| module.file.clone()))
        .collect()
}

/// The module file in which what `path` names is defined, following re-exports at most `depth` times.
fn defined_in(
    modules: &BTreeMap<ModulePath, Module>,
    path: &[String],
    depth: usize,
) -> Option<ModulePath> {
    let length = (0..=path.len())
        .rev()
        .find(|length| modules.contains_key(&path[..*length]))?;
    let (at, rest) = path.split_at(length);
    let module = modules.get(at)?;
    let Some(name) = rest.first().filter(|_| depth > 0) else {
        return Some(at.to_vec());
    };
    if let Some(target) = module.handed_on.get(name) {
        let mut target = target.clone();
        target.extend_from_slice(&rest[1..]);
        if target != path {
            return defined_in(modules, &target, depth - 1);
        }
    }
    let whole = module.handed_on_whole.iter().find(|whole| {
        modules
            .get(*whole)
            .is_some_and(|module| module.types.iter().any(|t| t == name))
    });
    Some(whole.cloned().unwrap_or_else(|| at.to_vec()))
}

struct Reader {
    at: ModulePath,
    module: Module,
}

impl Reader {
    /// A path as written here, from the crate's root; none if it leads to another crate.
    fn rooted(&self, segments: &[String]) -> Option<ModulePath> {
        let mut base = match segments.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.at.clone(),
            _ => return None,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => {
                    base.pop();
                }
                other => base.push(other.to_owned()),
            }
        }
        Some(base)
    }

    fn use_tree(&mut self, prefix: &mut Vec<String>, tree: &syn::UseTree, public: bool) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(prefix, &path.tree, public);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(prefix, tree, public);
                }
            }
            syn::UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.used(prefix, &name, &name, public);
            }
            syn::UseTree::Rename(rename) => {
                let (name, new) = (rename.ident.to_string(), rename.rename.to_string());
                self.used(prefix, &name, &new, public);
            }
            syn::UseTree::Glob(_) => {
                let local = self.local(prefix);
                if public {
                    self.module.handed_on_whole.extend(local);
                } else {
                    self.module.named.extend(local);
                }
            }
        }
    }

    /// The same, and a path that begins with a module below this one.
    fn local(&self, segments: &[String]) -> Option<ModulePath> {
        self.rooted(segments).or_else(|| {
            let mut path = self.at.clone();
            path.extend_from_slice(segments);
            Some(path)
        })
    }

    fn used(&mut self, prefix: &[String], name: &str, new: &str, public: bool) {
        let mut path = prefix.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        if public {
            if let Some(path) = self.local(&path) {
                self.module.handed_on.insert(new.to_owned(), path);
            }
        } else if let Some(path) = self.rooted(&path) {
            self.module.named.push(path);
        } else if let Some(path) = self.local(&path) {
            // `use child::Name`: another crate's name resolves to this module itself and is dropped later.
            self.module.named.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        if item.content.is_some() {
            self.at.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_test(&item.attrs) || item.leading_colon.is_some() {
            return;
        }
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&mut Vec::new(), &item.tree, public);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        let exported = item
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("macro_export"));
        if let Some(name) = item.ident.as_ref().filter(|_| exported) {
            let mut path = self.at.clone();
            path.push(name.to_string());
            self.module.macros.push(path);
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` and `pub(in …)` say who may import, and import nothing.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        // A type that this module hands on is used from where it is defined. (A single small name may be a variable.) What
        // is this file's own or another crate's resolves to this module itself and is dropped later.
        let is_type = |name: &String| name.starts_with(|first: char| first.is_uppercase());
        let named = match segments.as_slice() {
            [name] if !is_type(name) => self.rooted(&segments),
            _ => self.local(&segments),
        };
        self.module.named.extend(named);
        visit::visit_path(self, path);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.define(&item.vis, &item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.define(&item.vis, &item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.define(&item.vis, &item.ident);
        visit::visit_item_trait(self, item);
    }
}

impl Reader {
    fn define(&mut self, visibility: &syn::Visibility, name: &syn::Ident) {
        if matches!(visibility, syn::Visibility::Public(_)) {
            self.module.types.push(name.to_string());
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| meta.path().is_ident("test"))
    })
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut next = vec![folder.to_path_buf()];
    while let Some(folder) = next.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && name != "tests" {
                next.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each file imports, by file; the files are named by their modules (`a::b`), the crate's root by `lib`.
    fn imports(files: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
        let mut modules: BTreeMap<ModulePath, Module> = files
            .iter()
            .map(|(name, text)| {
                let path: ModulePath = name
                    .split("::")
                    .filter(|part| *part != "lib")
                    .map(str::to_owned)
                    .collect();
                let module = read(&path, (*name).to_owned(), (*text).to_owned()).expect("Rust");
                (path, module)
            })
            .collect();
        export_macros(&mut modules);
        modules
            .iter()
            .map(|(path, module)| {
                let found = imports_of(&modules, path, module);
                (module.file.clone(), found.into_iter().collect())
            })
            .collect()
    }

    #[test]
    fn who_may_see_an_item_is_no_import() {
        let found = imports(&[
            ("lib", "mod a;"),
            ("a", "mod b;"),
            (
                "a::b",
                "pub(super) struct B; pub(crate) fn f() {} pub(in crate::a) const C: u8 = 0;",
            ),
        ]);
        assert!(found["a::b"].is_empty(), "{found:?}");
    }

    #[test]
    fn a_name_that_a_table_of_contents_hands_on_comes_from_where_it_is_defined() {
        let found = imports(&[
            ("lib", "mod a; mod c;"),
            ("a", "mod b; pub use b::B;"),
            ("a::b", "pub struct B;"),
            ("c", "use crate::a::B; use serde_json::Value;"),
        ]);
        assert_eq!(found["c"], ["a::b"]);
        assert!(found["a"].is_empty());
    }

    #[test]
    fn a_path_needs_no_use_to_be_an_import() {
        let found = imports(&[
            ("lib", "mod a; fn f() { a::g(); std::mem::drop(1); }"),
            (
                "a",
                "pub use b::B; mod b; fn make() -> B { b::new(super::ONE) }",
            ),
            (
                "a::b",
                "pub struct B; mod tests {} #[cfg(test)] mod t { use crate::a::make; }",
            ),
        ]);
        assert_eq!(found["lib"], ["a"]);
        assert_eq!(found["a"], ["a::b", "lib"]);
        assert!(found["a::b"].is_empty());
    }
    #[test]
    fn an_exported_macro_comes_from_where_it_is_defined() {
        let found = imports(&[
            ("lib", "mod a; mod b;"),
            ("a", "#[macro_export] macro_rules! say { () => {} }"),
            ("b", "use crate::say; fn f() { say!(); }"),
        ]);
        assert_eq!(found["b"], ["a"]);
    }
}
