//! Reads the interface's own source: structures, instructions, their documentation, and how large their types are.

use std::collections::BTreeMap;

/// A field or an argument.
pub struct Field {
    pub name: String,
    pub ty: String,
    pub doc: String,
}

/// A structure or an instruction.
pub struct Item {
    pub name: String,
    pub doc: String,
    pub fields: Vec<Field>,
}

/// Doc comments as one line of Markdown, links to items reduced to their names.
fn sentence(doc: &[String]) -> String {
    let mut text = doc.join(" ").replace("crate::", "").replace("market::", "");
    for path in [
        "state::",
        "hash::",
        "output::",
        "params::",
        "sampler::",
        "dispute::",
    ] {
        text = text.replace(path, "");
    }
    text.replace("[`", "`")
        .replace("`]", "`")
        .replace('|', "\\|")
}

fn field(line: &str, doc: &[String]) -> Option<Field> {
    let (name, ty) = line.trim_end_matches(',').split_once(": ")?;
    // The name under which analysts read it may stand behind.
    let ty = ty.split(" = ").next()?;
    Some(Field {
        name: name.trim_start_matches("pub ").into(),
        ty: ty.into(),
        doc: sentence(doc),
    })
}

/// Structures with public fields, in the order of the source.
pub fn structures(source: &str) -> Vec<Item> {
    let (mut items, mut doc, mut open): (Vec<Item>, Vec<String>, Option<Item>) =
        (Vec::new(), Vec::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text.into());
            continue;
        }
        if let Some(item) = &mut open {
            if line == "}" {
                items.extend(open.take());
            } else {
                item.fields.extend(field(line, &doc));
            }
        } else if let Some(name) = line
            .strip_prefix("pub struct ")
            .and_then(|rest| rest.strip_suffix(" {"))
        {
            open = Some(Item {
                name: name.into(),
                doc: sentence(&doc),
                fields: Vec::new(),
            });
        }
        if !line.starts_with("#[") {
            doc.clear();
        }
    }
    items
}

/// Arguments by instruction, from the call of the `instructions!` macro.
pub fn arguments(source: &str) -> BTreeMap<String, Item> {
    let block = source.split_once("\ninstructions! {").expect("the list").1;
    let (mut items, mut doc, mut open): (BTreeMap<String, Item>, Vec<String>, Option<Item>) =
        (BTreeMap::new(), Vec::new(), None);
    for line in block.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.push(text.into());
            continue;
        }
        if let Some(item) = &mut open {
            if line.starts_with('}') {
                let item = open.take().expect("open");
                items.insert(item.name.clone(), item);
            } else {
                item.fields.extend(field(line, &doc));
            }
        } else if let Some((name, rest)) = line.split_once(" = ") {
            let item = Item {
                name: name.into(),
                doc: sentence(&doc),
                fields: Vec::new(),
            };
            if rest.contains("{}") {
                items.insert(item.name.clone(), item);
            } else {
                open = Some(item);
            }
        }
        doc.clear();
    }
    items
}

/// Sizes of types, from primitives up.
pub struct Sizes {
    types: BTreeMap<String, usize>,
    constants: BTreeMap<String, usize>,
}

impl Sizes {
    pub fn new(sources: &[&str]) -> Self {
        let types = [
            ("u8", 1),
            ("U16", 2),
            ("U32", 4),
            ("I32", 4),
            ("U64", 8),
            ("Key", 32),
            ("Hash", 32),
        ];
        let mut sizes = Self {
            types: types.map(|(name, size)| (name.into(), size)).into(),
            constants: BTreeMap::new(),
        };
        for line in sources.iter().flat_map(|source| source.lines()) {
            if let Some((name, value)) = line
                .strip_prefix("pub const ")
                .and_then(|rest| rest.split_once(": usize = "))
            {
                let value = sizes.number(value.trim_end_matches(';'));
                sizes.constants.insert(name.into(), value);
            }
        }
        sizes
    }

    pub fn number(&self, text: &str) -> usize {
        text.split(" + ")
            .map(|product| product.split(" * ").map(|part| self.factor(part)))
            .map(Iterator::product::<usize>)
            .sum()
    }

    fn factor(&self, text: &str) -> usize {
        match text.replace('_', "").parse() {
            Ok(number) => number,
            Err(_) => *self
                .constants
                .get(text)
                .unwrap_or_else(|| panic!("{text}?")),
        }
    }

    pub fn of(&self, ty: &str) -> usize {
        if let Some(inner) = ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
            let (element, count) = inner.rsplit_once("; ").expect("an array");
            return self.of(element) * self.number(count);
        }
        if let Some(len) = ty.strip_prefix("Text<").and_then(|ty| ty.strip_suffix('>')) {
            return 1 + self.number(len);
        }
        *self.types.get(ty).unwrap_or_else(|| panic!("{ty}?"))
    }

    pub fn learn(&mut self, item: &Item) -> usize {
        let size = item.fields.iter().map(|field| self.of(&field.ty)).sum();
        self.types.insert(item.name.clone(), size);
        size
    }
}
