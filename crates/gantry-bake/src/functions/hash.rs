//! Digests, password hashes and UUIDs.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Answer, Function, Parameter, Problem, number, text};
use crate::surroundings::Surroundings;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "bcrypt",
        parameters: &[Parameter::text("str")],
        rest: Some(Parameter::number("cost")),
        run: bcrypt_hash,
    },
    Function::of_text("md5", |_, a| Ok(Value::from(hex(&Md5::digest(text(a, 0)))))),
    Function {
        name: "rsadecrypt",
        parameters: &[Parameter::text("ciphertext"), Parameter::text("privatekey")],
        rest: None,
        run: |_, _| {
            Err(Problem::new(
                "this function is not supported: give secrets to a build with the secret attribute",
            ))
        },
    },
    Function::of_text("sha1", |_, a| {
        Ok(Value::from(hex(&Sha1::digest(text(a, 0)))))
    }),
    Function::of_text("sha256", |_, a| {
        Ok(Value::from(hex(&Sha256::digest(text(a, 0)))))
    }),
    Function::of_text("sha512", |_, a| {
        Ok(Value::from(hex(&Sha512::digest(text(a, 0)))))
    }),
    Function {
        name: "uuidv4",
        parameters: &[],
        rest: None,
        run: |surroundings, _| Ok(Value::from(uuid(surroundings.random(), 4))),
    },
    Function {
        name: "uuidv5",
        parameters: &[Parameter::text("namespace"), Parameter::text("name")],
        rest: None,
        run: uuid_v5,
    },
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bcrypt_hash(surroundings: &Surroundings, arguments: &[Value]) -> Answer {
    /// What the reference implementation takes.
    const USUAL: i64 = 10;
    /// A cost of 14 takes about a second.
    const MOST: i64 = 14;
    let cost = match arguments.len() {
        1 => Some(USUAL),
        2 => number(arguments, 1).to_i64(),
        _ => return Err(Problem::new("a text and a cost are all that is taken")),
    };
    let cost = cost.filter(|cost| (4..=MOST).contains(cost));
    let cost = cost.and_then(|cost| u32::try_from(cost).ok());
    let Some(cost) = cost else {
        return Err(Problem::at(
            1,
            format!("the cost is a number from 4 to {MOST}"),
        ));
    };
    bcrypt::hash_with_salt(text(arguments, 0), cost, surroundings.random())
        .map(|hash| Value::from(hash.format_for_version(bcrypt::Version::TwoA)))
        .map_err(|error| Problem::new(error.to_string()))
}

/// The usual notation of a UUID of this version (RFC 9562).
fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let all = hex(&bytes);
    [
        &all[..8],
        &all[8..12],
        &all[12..16],
        &all[16..20],
        &all[20..],
    ]
    .join("-")
}

fn uuid_v5(_: &Surroundings, arguments: &[Value]) -> Answer {
    let last = match text(arguments, 0) {
        "dns" => "0",
        "url" => "1",
        "oid" => "2",
        "x500" => "4",
        other => {
            let digits: String = other.chars().filter(|letter| *letter != '-').collect();
            return uuid_in(&digits, text(arguments, 1));
        }
    };
    uuid_in(
        &format!("6ba7b81{last}9dad11d180b400c04fd430c8"),
        text(arguments, 1),
    )
}

fn uuid_in(namespace: &str, name: &str) -> Answer {
    let wrong = || Problem::at(0, "the name space is dns, url, oid, x500 or a UUID");
    let number = Some(namespace)
        .filter(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|digits| u128::from_str_radix(digits, 16).ok())
        .ok_or_else(wrong)?;
    let digest = Sha1::new()
        .chain_update(number.to_be_bytes())
        .chain_update(name)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(Value::from(uuid(bytes, 5)))
}
