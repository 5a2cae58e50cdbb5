use super::*;

/// The fields of a file as text, up to the first error.
fn fields(bytes: &[u8]) -> Vec<String> {
    let message = Message::file("Test", bytes);
    let show = |field: Result<Field<'_>, FormatError>| match field {
        Ok(Field { number, wire, .. }) => match wire {
            Wire::Varint(value) => format!("{number}: {value}"),
            Wire::Fixed64(bits) => format!("{number}: {:?}", bits.to_le_bytes()),
            Wire::Fixed32(bits) => format!("{number}: {:?}", bits.to_le_bytes()),
            Wire::Bytes(span) => format!("{number}: {:?} at {}", span.bytes, span.at),
        },
        Err(error) => error.to_string(),
    };
    message.fields().map(show).collect()
}

#[test]
fn fields_are_read_in_order_and_an_error_ends_them() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"", &[]),
        (b"\x08\x96\x01", &["1: 150"]),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &["1: 18446744073709551615"]),
        (b"\x12\x02ab\x0d\x01\x02\x03\x04", &["2: [97, 98] at 2", "1: [1, 2, 3, 4]"]),
        (b"\x09\x01\x02\x03\x04\x05\x06\x07\x08", &["1: [1, 2, 3, 4, 5, 6, 7, 8]"]),
        // A group with a group and a text in it is skipped.
        (b"\x0b\x13\x12\x01x\x14\x10\x05\x0c\x08\x07", &["1: 7"]),
        (
            b"\x08\x01\x00\x01",
            &["1: 1", "Test at byte 2: must be a field from 1 to 2^29 - 1, is 0"],
        ),
        (b"\x08", &["a number of Test at byte 1: needs 1 bytes from there, the file has 0"]),
        (b"\x08\x80", &["a number of Test at byte 1: needs 2 bytes from there, the file has 1"]),
        (
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            &["Test at byte 1: must be a number, is a number that does not end"],
        ),
        (b"\x12\x03ab", &["field 2 of Test at byte 2: needs 3 bytes from there, the file has 2"]),
        (b"\x0d\x01", &["field 1 of Test at byte 1: needs 4 bytes from there, the file has 1"]),
        (b"\x0c", &["Test at byte 0: must be a field, is an end without its group"]),
        (b"\x0b\x14", &["Test at byte 1: must be the end of its group, is the end of group 2"]),
        (b"\x0b\x08\x01", &["Test at byte 0: must be a group that ends, is one that does not"]),
        (b"\x0e", &["Test at byte 0: must be a wire type from 0 to 5, is wire type 6"]),
    ];
    for (bytes, want) in cases {
        assert_eq!(fields(bytes), *want, "{}", bytes.escape_ascii());
    }
    let deep = [0x0b; 65];
    assert_eq!(fields(&deep), ["nesting of groups at byte 64: 65 is over the limit of 64"]);
}

#[test]
fn parts_of_one_message_are_read_behind_each_other() {
    let file = b"\x0a\x02\x08\x01\x0a\x00\x0a\x02\x08\x02";
    let budget = Budget::for_file(file.len());
    let mut merged = None;
    for field in Message::file("Outer", file).fields() {
        Message::merge(&mut merged, "Inner", &field.unwrap(), &budget).unwrap();
    }
    let inner = merged.unwrap();
    let ints: Vec<_> = inner.fields().map(|field| field.unwrap().int().unwrap()).collect();
    assert_eq!((ints, inner.counts::<2>().unwrap()), (vec![1, 2], [0, 2]));
}

#[test]
fn lists_are_packed_or_not() {
    let file = b"\x0a\x03\x01\x96\x01\x08\x05\x15\x01\x00\x00\x00\x12\x04\x02\x00\x00\x00\x0a\x00";
    let message = Message::file("Test", file);
    let read = |number, kind| {
        let fields = message.fields().map(Result::unwrap).filter(|field| field.number == number);
        let lists: Vec<_> = fields.map(|field| field.numbers(kind).unwrap()).collect();
        let count: usize = lists.iter().map(Numbers::how_many).sum();
        let numbers: Vec<_> = lists.into_iter().flatten().map(Result::unwrap).collect();
        assert_eq!(count, numbers.len());
        numbers
    };
    assert_eq!(read(1, Number::Varint), [1, 150, 5]);
    assert_eq!(read(2, Number::Fixed32), [1, 2]);
}
