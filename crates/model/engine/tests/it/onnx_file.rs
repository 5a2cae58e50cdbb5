//! ONNX files byte by byte: nodes, values, graphs and models as protobuf messages.

/// A protobuf message in the making.
#[derive(Clone, Default)]
pub(crate) struct Proto(pub(crate) Vec<u8>);

impl Proto {
    fn varint(&mut self, mut n: u64) {
        while n > 127 {
            self.0.push(n.to_le_bytes()[0] | 128);
            n >>= 7;
        }
        self.0.push(n.to_le_bytes()[0]);
    }

    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value.cast_unsigned());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }
}

pub(crate) fn attribute(name: &str, value: i64) -> Proto {
    Proto::default().text(1, name).int(3, value).int(20, 2)
}

pub(crate) fn body(name: &str, graph: &Proto) -> Proto {
    Proto::default().text(1, name).bytes(6, &graph.0).int(20, 5)
}

pub(crate) fn node(
    name: &str,
    op: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Proto],
) -> Proto {
    let mut node = Proto::default();
    for input in inputs {
        node = node.text(1, input);
    }
    for output in outputs {
        node = node.text(2, output);
    }
    node = node.text(3, name).text(4, op);
    for attribute in attributes {
        node = node.bytes(5, &attribute.0);
    }
    node
}

/// A value's name, element type (1: f32, 7: i64, 9: bool) and extents; negative ones are free.
pub(crate) fn value(name: &str, ty: i64, dims: &[i64]) -> Proto {
    let mut shape = Proto::default();
    for &dim in dims {
        let part = if dim < 0 {
            Proto::default().text(2, &format!("n{}", -dim))
        } else {
            Proto::default().int(1, dim)
        };
        shape = shape.bytes(1, &part.0);
    }
    let tensor = Proto::default().int(1, ty).bytes(2, &shape.0);
    Proto::default().text(1, name).bytes(2, &Proto::default().bytes(1, &tensor.0).0)
}

pub(crate) fn graph(nodes: &[Proto], inputs: &[Proto], outputs: &[Proto]) -> Proto {
    let mut graph = Proto::default().text(2, "g");
    for (field, list) in [(1, nodes), (11, inputs), (12, outputs)] {
        for part in list {
            graph = graph.bytes(field, &part.0);
        }
    }
    graph
}

pub(crate) fn model(opset: i64, graph: &Proto) -> Vec<u8> {
    let opset = Proto::default().text(1, "").int(2, opset);
    Proto::default().int(1, 8).bytes(7, &graph.0).bytes(8, &opset.0).0
}

/// A constant of whole numbers.
pub(crate) fn integers(name: &str, dims: &[i64], list: &[i64]) -> Proto {
    let bytes: Vec<u8> = list.iter().flat_map(|n| n.to_le_bytes()).collect();
    let tensor = dims.iter().fold(Proto::default(), |tensor, &dim| tensor.int(1, dim));
    tensor.int(2, 7).text(8, name).bytes(9, &bytes)
}

/// An attribute of whole numbers.
pub(crate) fn list(name: &str, values: &[i64]) -> Proto {
    let start = Proto::default().text(1, name).int(20, 7);
    values.iter().fold(start, |attribute, &value| attribute.int(8, value))
}
