//! Graphs, their nodes and functions: names of values, operators and attributes.
//!
//! Nodes stand in the file's order, which need not be one in which they can run; an empty name
//! among a node's inputs or outputs is one that is left out.

use super::{
    Attribute, AttributeValue, OpsetImport, Property, Reader, SparseTensor, Tensor, Text, Type,
    canonical_domain, check_depth, check_opsets, opset_import, property,
};
use crate::{FormatError, Label, Place, protobuf::Message};

/// A network, a branch of `If`, or the body of a loop.
#[derive(Clone, Debug, Default)]
pub struct Graph<'a> {
    /// Its name.
    pub name: &'a str,
    /// What the author says.
    pub doc: Text<'a>,
    /// The operators to run.
    pub nodes: Vec<Node<'a>>,
    /// Constants by name; no name occurs twice.
    pub initializers: Vec<Tensor<'a>>,
    /// Constants that list their non-zero elements.
    pub sparse_initializers: Vec<SparseTensor<'a>>,
    /// What the graph is given; may list initialisers, which are then defaults.
    pub inputs: Vec<Declaration<'a>>,
    /// What the graph gives.
    pub outputs: Vec<Declaration<'a>>,
    /// Declared types of values in between: hints.
    pub declared: Vec<Declaration<'a>>,
    /// Names of the tensors that quantise others.
    pub quantization_annotations: Vec<QuantizationAnnotation<'a>>,
    /// Settings by name.
    pub metadata_props: Vec<Property<'a>>,
}

/// One use of an operator.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    /// The operator, such as `Conv`; never empty.
    pub op_type: &'a str,
    /// The operator's domain; empty for ONNX's own, also where the file says `ai.onnx`.
    pub domain: &'a str,
    /// Which of several functions of that name.
    pub overload: &'a str,
    /// The node's name; often empty.
    pub name: &'a str,
    /// Names of the values that it takes; empty where one is left out.
    pub inputs: Vec<&'a str>,
    /// Names of the values that it gives; empty where one is not wanted.
    pub outputs: Vec<&'a str>,
    /// Settings; no name occurs twice.
    pub attributes: Vec<Attribute<'a>>,
    /// Offset of the node in the file, for errors.
    pub at: u64,
}

/// A value's name and type.
#[derive(Clone, Debug)]
pub struct Declaration<'a> {
    /// The value.
    pub name: &'a str,
    /// Its type; [`Type::Unknown`] if the file does not say.
    pub ty: Type<'a>,
    /// What the author says.
    pub doc: Text<'a>,
}

/// Which tensors hold the scale and zero point of another.
#[derive(Clone, Debug)]
pub struct QuantizationAnnotation<'a> {
    /// The quantised tensor.
    pub tensor: &'a str,
    /// Such as `("SCALE_TENSOR", "w_scale")`.
    pub parameters: Vec<Property<'a>>,
}

/// An operator that is written out as nodes.
#[derive(Clone, Debug)]
pub struct Function<'a> {
    /// The operator that it defines.
    pub name: &'a str,
    /// Its domain.
    pub domain: &'a str,
    /// Which of several functions of that name.
    pub overload: &'a str,
    /// Names of the inputs inside the function.
    pub inputs: Vec<&'a str>,
    /// Names of the outputs inside the function.
    pub outputs: Vec<&'a str>,
    /// Attributes that a caller must give.
    pub attributes: Vec<&'a str>,
    /// Attributes that a caller may leave out, with what they then are.
    pub attribute_defaults: Vec<Attribute<'a>>,
    /// The operators to run.
    pub nodes: Vec<Node<'a>>,
    /// The operator sets of the nodes; they may differ from the model's.
    pub opset_imports: Vec<OpsetImport<'a>>,
    /// Declared types of values: hints.
    pub declared: Vec<Declaration<'a>>,
    /// What the author says.
    pub doc: Text<'a>,
}

impl<'a> Graph<'a> {
    /// Reads a `GraphProto`, the outermost one at depth 1.
    pub(crate) fn read(
        message: &Message<'a>,
        reader: &Reader,
        depth: u32,
    ) -> Result<Self, FormatError> {
        check_depth(depth, "graphs", message.at())?;
        let counts: [usize; 17] = message.counts()?;
        let [
            _,
            nodes,
            _,
            _,
            _,
            tensors,
            _,
            _,
            _,
            _,
            _,
            inputs,
            outputs,
            infos,
            quant,
            sparse,
            props,
        ] = counts;
        reader.count_nodes(nodes, Place::at(format_args!("number of nodes"), message.at()))?;
        let budget = &reader.budget;
        let mut graph = Self {
            name: "",
            doc: Text::default(),
            nodes: budget.table(nodes)?,
            initializers: budget.table(tensors)?,
            sparse_initializers: budget.table(sparse)?,
            inputs: budget.table(inputs)?,
            outputs: budget.table(outputs)?,
            declared: budget.table(infos)?,
            quantization_annotations: budget.table(quant)?,
            metadata_props: budget.table(props)?,
        };
        for field in message.fields() {
            let field = field?;
            let part = |what| field.span().map(|span| Message::new(what, span));
            match field.number {
                1 => graph.nodes.push(Node::read(&part("NodeProto")?, reader, depth)?),
                2 => graph.name = field.name("name")?,
                5 => graph.initializers.push(Tensor::read(&part("TensorProto")?, reader)?),
                10 => graph.doc = Text(field.bytes()?),
                11 => graph.inputs.push(Declaration::read(&part("ValueInfoProto")?, reader)?),
                12 => graph.outputs.push(Declaration::read(&part("ValueInfoProto")?, reader)?),
                13 => graph.declared.push(Declaration::read(&part("ValueInfoProto")?, reader)?),
                14 => {
                    let annotation =
                        QuantizationAnnotation::read(&part("TensorAnnotation")?, reader)?;
                    graph.quantization_annotations.push(annotation);
                }
                15 => {
                    let sparse = SparseTensor::read(&part("SparseTensorProto")?, reader)?;
                    graph.sparse_initializers.push(sparse);
                }
                16 => graph.metadata_props.push(property(&field)?),
                _ => {}
            }
        }
        let dense = graph.initializers.iter().map(|tensor| tensor.name);
        let sparse = graph.sparse_initializers.iter().map(|tensor| tensor.values.name);
        let names = budget.table(tensors.saturating_add(graph.sparse_initializers.len()))?;
        check_unique("initializer", dense.chain(sparse), names)?;
        Ok(graph)
    }

    /// Visits every constant tensor of the graph and of its sub-graphs.
    pub fn for_each_tensor<'m>(&'m self, visit: &mut dyn FnMut(&'m Tensor<'a>)) {
        self.initializers.iter().for_each(&mut *visit);
        for sparse in &self.sparse_initializers {
            visit(&sparse.values);
            visit(&sparse.indices);
        }
        visit_nodes(&self.nodes, visit);
    }
}

/// Visits every constant tensor in the attributes of nodes.
pub(super) fn visit_nodes<'m, 'a>(nodes: &'m [Node<'a>], visit: &mut dyn FnMut(&'m Tensor<'a>)) {
    for node in nodes {
        visit_attributes(&node.attributes, visit);
    }
}

/// Visits every constant tensor in attributes.
pub(super) fn visit_attributes<'m, 'a>(
    attributes: &'m [Attribute<'a>],
    visit: &mut dyn FnMut(&'m Tensor<'a>),
) {
    use AttributeValue as V;
    for attribute in attributes {
        match &attribute.value {
            V::Tensor(tensor) => visit(tensor),
            V::Tensors(tensors) => tensors.iter().for_each(&mut *visit),
            V::SparseTensor(sparse) => {
                visit(&sparse.values);
                visit(&sparse.indices);
            }
            V::SparseTensors(list) => {
                for sparse in list {
                    visit(&sparse.values);
                    visit(&sparse.indices);
                }
            }
            V::Graph(graph) => graph.for_each_tensor(visit),
            V::Graphs(graphs) => graphs.iter().for_each(|graph| graph.for_each_tensor(visit)),
            V::Float(_)
            | V::Int(_)
            | V::String(_)
            | V::Type(_)
            | V::Floats(_)
            | V::Ints(_)
            | V::Strings(_)
            | V::Types(_)
            | V::Reference { .. } => {}
        }
    }
}

/// Refuses a name that occurs twice; `sorted` is room for all names.
fn check_unique<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a str>,
    mut sorted: Vec<&'a str>,
) -> Result<(), FormatError> {
    sorted.extend(names.filter(|name| !name.is_empty()));
    sorted.sort_unstable();
    match sorted.iter().zip(sorted.iter().skip(1)).find(|(former, later)| former == later) {
        Some((name, _)) => Err(FormatError::Duplicate { what, name: Label::new(name) }),
        None => Ok(()),
    }
}

impl<'a> Node<'a> {
    /// Reads a `NodeProto` of a graph at `depth`.
    fn read(message: &Message<'a>, reader: &Reader, depth: u32) -> Result<Self, FormatError> {
        let counts: [usize; 6] = message.counts()?;
        let [_, inputs, outputs, _, _, attributes] = counts;
        let budget = &reader.budget;
        let mut node = Self {
            op_type: "",
            domain: "",
            overload: "",
            name: "",
            inputs: budget.table(inputs)?,
            outputs: budget.table(outputs)?,
            attributes: budget.table(attributes)?,
            at: message.at(),
        };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => node.inputs.push(field.name("input")?),
                2 => node.outputs.push(field.name("output")?),
                3 => node.name = field.name("name")?,
                4 => node.op_type = field.name("op_type")?,
                5 => {
                    let part = Message::new("AttributeProto", field.span()?);
                    node.attributes.push(Attribute::read(&part, reader, depth)?);
                }
                7 => node.domain = canonical_domain(field.name("domain")?),
                8 => node.overload = field.name("overload")?,
                _ => {}
            }
        }
        if node.op_type.is_empty() {
            let what = format_args!("op_type of node `{}`", Label::new(node.name));
            let place = Place::at(what, message.at());
            return Err(FormatError::invalid(place, "an operator's name", format_args!("empty")));
        }
        if attributes > 1 {
            let names = node.attributes.iter().map(|attribute| attribute.name);
            check_unique("attribute", names, budget.table(attributes)?)?;
        }
        Ok(node)
    }

    /// The value of an attribute, if the node has it.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue<'a>> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|found| &found.value)
    }
}

impl<'a> Declaration<'a> {
    fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let (mut name, mut ty, mut doc) = ("", None, Text::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.name("name")?,
                2 => Message::merge(&mut ty, "TypeProto", &field, &reader.budget)?,
                3 => doc = Text(field.bytes()?),
                _ => {}
            }
        }
        let ty = ty.map_or(Ok(Type::Unknown), |ty| Type::read(&ty, reader, 1))?;
        Ok(Self { name, ty, doc })
    }
}

impl<'a> QuantizationAnnotation<'a> {
    fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let [_, _, count]: [usize; 3] = message.counts()?;
        let mut annotation = Self { tensor: "", parameters: reader.budget.table(count)? };
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => annotation.tensor = field.name("tensor_name")?,
                2 => annotation.parameters.push(property(&field)?),
                _ => {}
            }
        }
        Ok(annotation)
    }
}

impl<'a> Function<'a> {
    /// Reads a `FunctionProto`.
    pub(crate) fn read(message: &Message<'a>, reader: &Reader) -> Result<Self, FormatError> {
        let counts: [usize; 13] = message.counts()?;
        let [_, _, _, _, inputs, outputs, attributes, nodes, _, opsets, _, defaults, infos] =
            counts;
        reader.count_nodes(nodes, Place::at(format_args!("number of nodes"), message.at()))?;
        let budget = &reader.budget;
        let mut function = Self {
            name: "",
            domain: "",
            overload: "",
            inputs: budget.table(inputs)?,
            outputs: budget.table(outputs)?,
            attributes: budget.table(attributes)?,
            attribute_defaults: budget.table(defaults)?,
            nodes: budget.table(nodes)?,
            opset_imports: budget.table(opsets)?,
            declared: budget.table(infos)?,
            doc: Text::default(),
        };
        for field in message.fields() {
            let field = field?;
            let part = |what| field.span().map(|span| Message::new(what, span));
            match field.number {
                1 => function.name = field.name("name")?,
                4 => function.inputs.push(field.name("input")?),
                5 => function.outputs.push(field.name("output")?),
                6 => function.attributes.push(field.name("attribute")?),
                7 => function.nodes.push(Node::read(&part("NodeProto")?, reader, 1)?),
                8 => function.doc = Text(field.bytes()?),
                9 => function.opset_imports.push(opset_import(&field)?),
                10 => function.domain = canonical_domain(field.name("domain")?),
                11 => {
                    let default = Attribute::read(&part("AttributeProto")?, reader, 1)?;
                    function.attribute_defaults.push(default);
                }
                12 => function.declared.push(Declaration::read(&part("ValueInfoProto")?, reader)?),
                13 => function.overload = field.name("overload")?,
                _ => {}
            }
        }
        if function.name.is_empty() {
            let place = Place::at(format_args!("name of FunctionProto"), message.at());
            return Err(FormatError::invalid(place, "an operator's name", format_args!("empty")));
        }
        check_opsets(&function.opset_imports)?;
        Ok(function)
    }
}
