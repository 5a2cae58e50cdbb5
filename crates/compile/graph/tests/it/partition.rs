//! Divisions of random graphs: regions are convex, run in their order, and lose nothing.

use ledge_graph::{
    Graph, Input, Type, ValueId,
    partition::{Division, Owner, Worth, divide, draft, extract},
    verify,
};
use plan::{
    ArrayOp, Dim, Op,
    array::{Map, Zip},
};
use proptest::prelude::*;
use tensor::DType;

const FREE: Worth = Worth { operations: 0, per_byte: 0 };

/// A graph whose node `i` reads what `reads` says, the input where that is nothing; each value
/// that nothing reads is an output.
fn build(reads: &[(Option<usize>, Option<usize>)]) -> Graph {
    let mut graph = Graph::default();
    let input = graph.input("x", Type { dtype: DType::F32, dims: [Dim::Fixed(4)].into() });
    let mut values: Vec<ValueId> = Vec::new();
    let mut used = vec![false; reads.len()];
    for &(a, b) in reads {
        let mut value = |place: Option<usize>| {
            place.map_or(input, |place| {
                used[place] = true;
                values[place]
            })
        };
        let (a, b) = (value(a), b.map(|b| value(Some(b))));
        let made = match b {
            None => graph.push(Op::Array(ArrayOp::Map(Map::Relu)), [Input::from(a)], None),
            Some(b) => graph.push(Op::Array(ArrayOp::Zip(Zip::Add)), [a.into(), b.into()], None),
        };
        values.push(made.expect("it fits"));
    }
    for (place, value) in values.iter().enumerate().filter(|(place, _)| !used[*place]) {
        graph.output(&format!("y{place}"), *value);
    }
    graph
}

/// Checks a division; gives the number of regions that delegates have.
fn check(graph: &Graph, wanted: &[Owner], division: &Division) -> usize {
    let count = graph.nodes.len();
    let mut home = vec![usize::MAX; count];
    for (place, region) in division.regions.iter().enumerate() {
        assert!(region.nodes.is_sorted() && !region.nodes.is_empty());
        for &node in &region.nodes {
            assert_eq!(home[node], usize::MAX, "node {node} is in two regions");
            home[node] = place;
            assert!(region.owner == wanted[node] || region.owner == Owner::Host);
        }
    }
    assert!(home.iter().all(|&place| place != usize::MAX), "every node has a region");
    let mut writer = vec![None; graph.values.len()];
    // For each node the regions on the ways to it: none of them is left and entered again.
    let mut passed: Vec<Vec<bool>> = Vec::with_capacity(count);
    for (node, step) in graph.nodes.iter().enumerate() {
        let mut through = vec![false; division.regions.len()];
        for input in &step.inputs {
            let Input::Value(value) = input else { continue };
            let Some(from) = writer[value.index()] else { continue };
            let from: usize = from;
            assert!(home[from] <= home[node], "regions stand in an order in which they run");
            for (all, one) in through.iter_mut().zip(&passed[from]) {
                *all |= one;
            }
            if home[from] != home[node] {
                assert!(!passed[from][home[node]], "node {node} enters its region again");
                through[home[from]] = true;
            }
        }
        writer[step.output.index()] = Some(node);
        passed.push(through);
    }
    for region in &division.regions {
        let piece = extract(graph, region);
        verify(&piece.graph).expect("a sound graph");
        assert_eq!(piece.graph.nodes.len(), region.nodes.len());
        let moved: u64 = 16 * (piece.inputs.len() + piece.outputs.len()) as u64;
        assert_eq!(region.moved.0, moved, "16 bytes a value");
    }
    division.regions.iter().filter(|region| region.owner != Owner::Host).count()
}

fn owners(letters: &str) -> Vec<Owner> {
    let owner = |letter| match letter {
        'a' => Owner::Delegate(0),
        'b' => Owner::Delegate(1),
        _ => Owner::Host,
    };
    letters.chars().map(owner).collect()
}

#[test]
fn regions_are_as_few_as_they_can_be() {
    /// Nodes that each node reads.
    type Reads<'a> = &'a [(Option<usize>, Option<usize>)];
    let chain: Reads<'_> = &[(None, None), (Some(0), None), (Some(1), None), (Some(2), None)];
    let diamond: Reads<'_> = &[(None, None), (Some(0), None), (Some(0), None), (Some(1), Some(2))];
    // Two branches from the input that meet; one begins with a node of the host.
    let late: Reads<'_> = &[(None, None), (None, None), (Some(1), None), (Some(0), Some(2))];
    let cases: [(&str, Reads<'_>, &str, usize, usize); 7] = [
        ("all of it", chain, "aaaa", 1, 1),
        ("none of it", chain, "....", 0, 1),
        ("a hole", chain, "aa.a", 2, 3),
        ("two delegates", chain, "abba", 3, 3),
        // Joining the ends would leave by the host's node and enter again.
        ("a branch of the host", diamond, "a.aa", 2, 3),
        ("both branches", diamond, "aaaa", 1, 1),
        // The early branch waits for the late one.
        ("a late branch", late, "a.aa", 1, 2),
    ];
    for (name, reads, letters, delegated, all) in cases {
        let graph = build(reads);
        let wanted = owners(letters);
        let division = divide(&graph, &wanted, &FREE);
        assert_eq!(check(&graph, &wanted, &division), delegated, "{name}");
        assert_eq!(division.regions.len(), all, "{name}");
    }
}

#[test]
fn what_is_not_worth_it_goes_back_to_the_host() {
    // One node alone, and three in a row: each does 4 operations and moves 32 bytes.
    let reads: Vec<_> = (0..5).map(|i: usize| (i.checked_sub(1), None)).collect();
    let graph = build(&reads);
    let wanted = owners("a.aaa");
    let worth = |operations, per_byte| Worth { operations, per_byte };
    for (worth, left) in [(worth(0, 0), 2), (worth(5, 0), 1), (worth(13, 0), 0), (worth(0, 1), 0)] {
        let division = divide(&graph, &wanted, &worth);
        assert_eq!(check(&graph, &wanted, &division), left, "{worth:?}");
        assert_eq!(division.dropped.len(), 2 - left, "{worth:?}");
        assert_eq!(left == 0, division.regions.len() == 1, "the host's regions are one again");
    }
}

#[test]
fn a_draft_has_a_step_for_each_node() {
    let graph = build(&[(None, None), (Some(0), Some(0))]);
    let plan = draft(&graph);
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[1].slot(0), &plan.steps[0].output);
    assert_ne!(plan.steps[1].output, plan.steps[0].output);
}

proptest! {
    #[test]
    fn regions_are_convex_and_complete(
        nodes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4, 0u8..4), 1..40),
        operations in 0u64..30,
    ) {
        let mut reads = Vec::new();
        let mut wanted = Vec::new();
        for (place, (a, b, kind, owner)) in nodes.iter().enumerate() {
            let earlier = |index: &prop::sample::Index| (place > 0).then(|| index.index(place));
            reads.push(match kind {
                0 => (None, None),
                1 => (earlier(a), None),
                _ => (earlier(a), earlier(b)),
            });
            wanted.push(match owner {
                0 => Owner::Host,
                1 => Owner::Delegate(1),
                _ => Owner::Delegate(0),
            });
        }
        let graph = build(&reads);
        check(&graph, &wanted, &divide(&graph, &wanted, &FREE));
        let division = divide(&graph, &wanted, &Worth { operations, per_byte: 0 });
        check(&graph, &wanted, &division);
        for region in division.regions.iter().filter(|region| region.owner != Owner::Host) {
            prop_assert!(region.work.operations >= operations);
        }
    }
}
