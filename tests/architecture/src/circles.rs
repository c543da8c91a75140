//! Circles in a graph of imports: Tarjan's strongly connected components of more than one member.

use std::collections::{BTreeMap, BTreeSet};

/// Groups of nodes each of which reaches all others of its group, the largest first.
pub fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut search = Search {
        graph,
        order: BTreeMap::new(),
        low: BTreeMap::new(),
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in graph.keys() {
        if !search.order.contains_key(node.as_str()) {
            search.visit(node);
        }
    }
    search
        .found
        .sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    search.found
}

struct Search<'a> {
    graph: &'a BTreeMap<String, BTreeSet<String>>,
    order: BTreeMap<&'a str, usize>,
    low: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    found: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, node: &'a str) {
        let number = self.order.len();
        self.order.insert(node, number);
        self.low.insert(node, number);
        self.stack.push(node);
        for next in self.graph.get(node).into_iter().flatten() {
            if !self.order.contains_key(next.as_str()) {
                self.visit(next);
                self.lower(node, self.low[next.as_str()]);
            } else if self.stack.contains(&next.as_str()) {
                self.lower(node, self.order[next.as_str()]);
            }
        }
        if self.low[node] == number {
            let start = self.stack.iter().position(|other| *other == node);
            let mut circle: Vec<String> = self
                .stack
                .split_off(start.unwrap_or_default())
                .into_iter()
                .map(str::to_owned)
                .collect();
            if circle.len() > 1 {
                circle.sort();
                self.found.push(circle);
            }
        }
    }

    fn lower(&mut self, node: &'a str, to: usize) {
        if let Some(low) = self.low.get_mut(node) {
            *low = (*low).min(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry((*to).into()).or_default();
            graph
                .entry((*from).into())
                .or_default()
                .insert((*to).into());
        }
        graph
    }

    #[test]
    fn a_chain_has_no_circle() {
        assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    }

    #[test]
    fn two_circles_are_told_apart() {
        let found = circles(&graph(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("c", "d"),
            ("d", "e"),
            ("e", "d"),
        ]));
        assert_eq!(found, [vec!["a", "b", "c"], vec!["d", "e"]]);
    }
}
