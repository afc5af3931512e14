//! Numbers.

use num_bigint::BigInt;

use super::{Answer, Function, Parameter, Problem, number, text, whole};
use crate::number::{Number, OutOfRange};
use crate::surroundings::Surroundings;
use crate::value::Value;

const A: Parameter = Parameter::number("a");
const B: Parameter = Parameter::number("b");
const NUMBER: Parameter = Parameter::number("num");

const fn one(name: &'static str, run: fn(&Surroundings, &[Value]) -> Answer) -> Function {
    Function {
        name,
        parameters: &[NUMBER],
        rest: None,
        run,
    }
}

const fn two(name: &'static str, run: fn(&Surroundings, &[Value]) -> Answer) -> Function {
    Function {
        name,
        parameters: &[A, B],
        rest: None,
        run,
    }
}

const fn many(name: &'static str, run: fn(&Surroundings, &[Value]) -> Answer) -> Function {
    Function {
        name,
        parameters: &[],
        rest: Some(Parameter::number("numbers")),
        run,
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    one("absolute", |_, a| {
        let number = number(a, 0);
        Ok(Value::Number(if number.is_negative() {
            -number
        } else {
            number
        }))
    }),
    two("add", |_, a| {
        Ok(Value::Number(number(a, 0).add(&number(a, 1))?))
    }),
    one("ceil", |_, a| Ok(Value::Number(number(a, 0).ceiling()))),
    two("divide", |_, a| {
        if number(a, 1).is_zero() {
            return Err(Problem::at(1, "division by zero"));
        }
        Ok(Value::Number(number(a, 0).divide(&number(a, 1))?))
    }),
    one("floor", |_, a| Ok(Value::Number(number(a, 0).floor()))),
    two("greaterthan", |_, a| {
        Ok(Value::Bool(number(a, 0) > number(a, 1)))
    }),
    two("greaterthanorequalto", |_, a| {
        Ok(Value::Bool(number(a, 0) >= number(a, 1)))
    }),
    one("int", |_, a| Ok(Value::Number(number(a, 0).truncated()))),
    two("lessthan", |_, a| {
        Ok(Value::Bool(number(a, 0) < number(a, 1)))
    }),
    two("lessthanorequalto", |_, a| {
        Ok(Value::Bool(number(a, 0) <= number(a, 1)))
    }),
    two("log", |_, a| {
        let (number, base) = (number(a, 0).to_f64(), number(a, 1).to_f64());
        Ok(Value::Number(Number::from_f64(number.ln() / base.ln())?))
    }),
    many("max", |_, a| extreme(a, Number::max)),
    many("min", |_, a| extreme(a, Number::min)),
    two("modulo", |_, a| {
        if number(a, 1).is_zero() {
            return Err(Problem::at(1, "division by zero"));
        }
        Ok(Value::Number(number(a, 0).remainder(&number(a, 1))?))
    }),
    two("multiply", |_, a| {
        Ok(Value::Number(number(a, 0).multiply(&number(a, 1))?))
    }),
    one("negate", |_, a| Ok(Value::Number(-number(a, 0)))),
    Function {
        name: "parseint",
        parameters: &[Parameter::any("number"), Parameter::number("base")],
        rest: None,
        run: parse_int,
    },
    two("pow", |_, a| {
        let (number, power) = (number(a, 0).to_f64(), number(a, 1).to_f64());
        Ok(Value::Number(Number::from_f64(number.powf(power))?))
    }),
    one("signum", |_, a| {
        let number = number(a, 0);
        let sign = i64::from(!number.is_zero()) * if number.is_negative() { -1 } else { 1 };
        Ok(Value::Number(Number::from(sign)))
    }),
    two("subtract", |_, a| {
        Ok(Value::Number(number(a, 0).subtract(&number(a, 1))?))
    }),
];

fn extreme(arguments: &[Value], choose: fn(Number, Number) -> Number) -> Answer {
    let numbers = (0..arguments.len()).map(|at| number(arguments, at));
    let found = numbers.reduce(choose);
    found
        .map(Value::Number)
        .ok_or_else(|| Problem::new("at least one number is required"))
}

/// Digits beyond `z` are capital letters, as in Go.
fn parse_int(_: &Surroundings, arguments: &[Value]) -> Answer {
    let base = whole(arguments, 1)?;
    let Some(base) = u32::try_from(base)
        .ok()
        .filter(|base| (2..=62).contains(base))
    else {
        return Err(Problem::at(1, "a base from 2 to 62 is required"));
    };
    let digits = text(arguments, 0);
    let wrong = || Problem::at(0, format!("{digits:?} is no whole number in base {base}"));
    let (negative, rest) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    if rest.is_empty() || rest.len() > 1000 {
        return Err(wrong());
    }
    let mut integer = BigInt::ZERO;
    for letter in rest.bytes() {
        let digit = match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'z' => letter - b'a' + 10,
            b'A'..=b'Z' if base <= 36 => letter - b'A' + 10,
            b'A'..=b'Z' => letter - b'A' + 36,
            _ => return Err(wrong()),
        };
        if u32::from(digit) >= base {
            return Err(wrong());
        }
        integer = integer * base + digit;
    }
    let integer = if negative { -integer } else { integer };
    let number: Result<Number, OutOfRange> = Number::from_integer(integer);
    Ok(Value::Number(number?))
}
