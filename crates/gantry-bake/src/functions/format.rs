//! `format` and `formatlist`: verbs as in `printf` (HCL's standard library, "format").

use gantry_model::quantity::counted;

use super::{Answer, Function, Parameter, Problem, text};
use crate::convert::convert;
use crate::number::Number;
use crate::surroundings::Surroundings;
use crate::types::Type;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "format",
        parameters: &[Parameter::text("format")],
        rest: Some(Parameter::or_null("args")),
        run: |_, a| Ok(Value::from(format(text(a, 0), &a[1..])?)),
    },
    Function {
        name: "formatlist",
        parameters: &[Parameter::text("format")],
        rest: Some(Parameter::or_null("args")),
        run: format_list,
    },
];

/// Once for each element of the lists; what is no list is the same each time.
fn format_list(_: &Surroundings, arguments: &[Value]) -> Answer {
    let mut length = None;
    for (at, argument) in arguments.iter().enumerate().skip(1) {
        let Some(items) = argument.items() else {
            continue;
        };
        if length.is_some_and(|length| length != items.len()) {
            return Err(Problem::at(at, "all lists must have as many elements"));
        }
        length = Some(items.len());
    }
    let mut texts = Vec::new();
    let mut bytes = 0;
    for row in 0..length.unwrap_or(1) {
        let cell = |argument: &Value| match argument.items() {
            Some(items) => items[row].clone(),
            None => argument.clone(),
        };
        let row: Vec<Value> = arguments[1..].iter().map(cell).collect();
        let line = format(text(arguments, 0), &row)?;
        bytes += line.len();
        text::sized(bytes)?;
        texts.push(line);
    }
    Ok(Value::strings(texts))
}

/// A verb: `%-05.2[1]f`.
#[derive(Debug, Default)]
struct Verb {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

fn format(pattern: &str, arguments: &[Value]) -> Result<String, Problem> {
    let mut made = String::new();
    let mut rest = pattern;
    let mut next = 0;
    let mut used = 0;
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            made.push('%');
            rest = behind;
            continue;
        }
        let (verb, number, behind) = verb(rest)?;
        rest = behind;
        let at = number.unwrap_or(next);
        next = at + 1;
        used = used.max(next);
        let Some(value) = arguments.get(at) else {
            let message = format!("there is no argument {} for %{}", at + 1, verb.letter);
            return Err(Problem::at(0, message));
        };
        let shown = verb.show(value).map_err(|error| Problem {
            argument: Some(at + 1),
            ..error
        })?;
        made.push_str(&verb.padded(shown));
        text::sized(made.len())?;
    }
    made.push_str(rest);
    if used < arguments.len() {
        let unused = counted(arguments.len() - used, "argument");
        let message = format!("{unused} too many: the format has no verb for more");
        return Err(Problem::at(used + 1, message));
    }
    Ok(made)
}

/// A verb behind `%`, the argument it names, and what follows.
fn verb(text: &str) -> Result<(Verb, Option<usize>, &str), Problem> {
    /// Most that anything is padded to.
    const WIDEST: usize = 1 << 16;
    let mut verb = Verb::default();
    let mut number = None;
    let mut rest = text;
    let count = |rest: &mut &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, behind) = rest.split_at(digits);
        *rest = behind;
        count
            .parse::<usize>()
            .unwrap_or(if digits == 0 { 0 } else { usize::MAX })
    };
    loop {
        let mut letters = rest.chars();
        match letters.next() {
            Some('-') => verb.minus = true,
            Some('+') => verb.plus = true,
            Some(' ') => verb.space = true,
            Some('0') => verb.zero = true,
            Some('#') => verb.sharp = true,
            _ => break,
        }
        rest = letters.as_str();
    }
    verb.width = count(&mut rest);
    if let Some(behind) = rest.strip_prefix('.') {
        rest = behind;
        verb.precision = Some(count(&mut rest));
    }
    if let Some(behind) = rest.strip_prefix('[') {
        rest = behind;
        let at = count(&mut rest);
        let behind = rest.strip_prefix(']').filter(|_| at > 0);
        rest = behind.ok_or_else(|| Problem::at(0, "[ is followed by a number and ]"))?;
        number = Some(at - 1);
    }
    if verb.width > WIDEST || verb.precision.is_some_and(|precision| precision > WIDEST) {
        return Err(Problem::at(0, format!("a width is at most {WIDEST}")));
    }
    let mut letters = rest.chars();
    match letters.next() {
        Some(letter) if "vtbdoxXeEfgGsq".contains(letter) => verb.letter = letter,
        Some(other) => return Err(Problem::at(0, format!("there is no verb %{other}"))),
        None => return Err(Problem::at(0, "the verb behind the last % is missing")),
    }
    Ok((verb, number, letters.as_str()))
}

impl Verb {
    fn show(&self, value: &Value) -> Result<String, Problem> {
        let as_type = |kind: &Type| {
            if value.is_null() {
                return Err(Problem::new(format!(
                    "null cannot be shown by %{}",
                    self.letter
                )));
            }
            convert(value, kind).map_err(|error| Problem::new(error.to_string()))
        };
        match self.letter {
            'v' => self.any(value),
            't' => match as_type(&Type::Bool)? {
                Value::Bool(truth) => Ok(truth.to_string()),
                _ => Ok(String::new()),
            },
            's' | 'q' => {
                let shown = as_type(&Type::String)?;
                let cut = self.cut(shown.as_text().unwrap_or_default());
                Ok(if self.letter == 'q' {
                    super::json::encode(&Value::from(cut)).unwrap_or_default()
                } else {
                    cut
                })
            }
            _ => match as_type(&Type::Number)? {
                Value::Number(number) => self.number(&number),
                _ => Ok(String::new()),
            },
        }
    }

    /// Texts as they are, everything else as JSON.
    fn any(&self, value: &Value) -> Result<String, Problem> {
        match value {
            Value::String(text) if !self.sharp => Ok(self.cut(text)),
            Value::Number(number) if !self.sharp && self.precision.is_none() => {
                Ok(self.signed(number, (-number.clone()).max(number.clone()).to_string()))
            }
            _ => super::json::encode(value),
        }
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        }
    }

    fn number(&self, number: &Number) -> Result<String, Problem> {
        let magnitude = (-number.clone()).max(number.clone());
        let whole = || {
            let wanted = || Problem::new(format!("%{} shows whole numbers", self.letter));
            magnitude.to_integer().ok_or_else(wanted)
        };
        let float = magnitude.to_f64();
        let precision = self.precision;
        let digits = match self.letter {
            'd' => magnitude.truncated().to_string(),
            'b' => whole()?.to_str_radix(2),
            'o' => whole()?.to_str_radix(8),
            'x' => whole()?.to_str_radix(16),
            'X' => whole()?.to_str_radix(16).to_uppercase(),
            'f' => fixed(&magnitude, precision.unwrap_or(6))?,
            'e' => scientific(float, precision.unwrap_or(6)),
            'E' => scientific(float, precision.unwrap_or(6)).to_uppercase(),
            'G' => general(float, precision).to_uppercase(),
            _ => general(float, precision),
        };
        let prefix = match (self.sharp, self.letter) {
            (true, 'x') => "0x",
            (true, 'X') => "0X",
            (true, 'o') => "0",
            (true, 'b') => "0b",
            _ => "",
        };
        Ok(self.signed(number, format!("{prefix}{digits}")))
    }

    /// With the sign, and with noughts in front of the digits where they fill the width.
    fn signed(&self, number: &Number, digits: String) -> String {
        let sign = if number.is_negative() {
            "-"
        } else if self.plus {
            "+"
        } else if self.space {
            " "
        } else {
            ""
        };
        let width = if self.zero && !self.minus {
            self.width.saturating_sub(sign.len())
        } else {
            0
        };
        format!("{sign}{digits:0>width$}")
    }

    fn padded(&self, text: String) -> String {
        let width = self.width;
        match (self.minus, self.zero) {
            (true, _) => format!("{text:<width$}"),
            (false, true) => format!("{text:0>width$}"),
            (false, false) => format!("{text:>width$}"),
        }
    }
}

/// So many digits behind the point, rounded to even.
fn fixed(number: &Number, places: usize) -> Result<String, Problem> {
    let scale = Number::parse(&format!("1e{places}")).unwrap_or_else(|| Ok(Number::zero()))?;
    let scaled = number.multiply(&scale)?;
    let floor = scaled.floor();
    let rest = scaled.subtract(&floor)?;
    let half = Number::from_f64(0.5)?;
    let odd = floor.to_integer().is_some_and(|floor| floor.bit(0));
    let up = rest > half || rest == half && odd;
    let rounded = if up {
        floor.add(&Number::from(1_i64))?
    } else {
        floor
    };
    let digits = format!("{:0>width$}", rounded.to_string(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    Ok(if places == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    })
}

/// As C writes it: at least two digits in the exponent.
fn scientific(number: f64, places: usize) -> String {
    let text = format!("{number:.places$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%g`: the shorter of both notations.
fn general(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.places$e}", places = precision.max(1) - 1),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let limit = precision.map_or(21, |precision| {
        i64::try_from(precision.max(1)).unwrap_or(21)
    });
    if exponent < -4 || exponent >= limit {
        let places = mantissa.len().saturating_sub(2);
        return scientific(number, places);
    }
    format!("{mantissa}e{exponent}")
        .parse::<f64>()
        .unwrap_or(number)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs() {
        let number = |text: &str| Value::Number(Number::parse(text).unwrap().unwrap());
        for (pattern, arguments, wanted) in [
            ("%s-%d", vec![Value::from("a"), number("5")], "a-5"),
            (
                "%05d|%-4d|%+d",
                vec![number("42"), number("7"), number("1")],
                "00042|7   |+1",
            ),
            (
                "%.2f %f",
                vec![number("1.005"), number("2")],
                "1.00 2.000000",
            ),
            ("%x %X %b %o", vec![number("255"); 4], "ff FF 11111111 377"),
            (
                "%v %v %v",
                vec![Value::Bool(true), number("1.5"), Value::NULL],
                "true 1.5 null",
            ),
            (
                "%q %5s|%-5s|",
                vec![Value::from("a\"b"), Value::from("x"), Value::from("y")],
                "\"a\\\"b\"     x|y    |",
            ),
            ("%[2]s%[1]s", vec![Value::from("a"), Value::from("b")], "ba"),
            ("100%%", vec![], "100%"),
            (
                "%e %g",
                vec![number("12345.678"), number("0.5")],
                "1.234568e+04 0.5",
            ),
        ] {
            assert_eq!(format(pattern, &arguments).unwrap(), wanted, "{pattern}");
        }
        assert!(format("%d", &[Value::from("x")]).is_err());
        assert!(format("%s", &[]).is_err());
        assert!(format("a", &[Value::from("x")]).is_err());
        assert!(format("%99999999s", &[Value::from("x")]).is_err());
    }
}
