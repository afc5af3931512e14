//! Names for containers that nobody named: an adjective and a person of science.

/// The name for these random numbers. With `attempt` above 0 a digit goes behind it, as the
/// plain one was taken.
pub(crate) fn generate(random: [u8; 4], attempt: u32) -> String {
    let pick = |list: &[&'static str], high: u8, low: u8| {
        list[usize::from(u16::from_be_bytes([high, low])) % list.len()]
    };
    let adjective = pick(&ADJECTIVES, random[0], random[1]);
    let surname = pick(&SURNAMES, random[2], random[3]);
    if attempt == 0 {
        format!("{adjective}_{surname}")
    } else {
        format!("{adjective}_{surname}{attempt}")
    }
}

#[rustfmt::skip]
const ADJECTIVES: [&str; 96] = [
    "able", "agile", "amber", "ample", "apt", "ardent", "balmy", "bold", "brave", "breezy",
    "bright", "brisk", "calm", "candid", "careful", "cheery", "civil", "clear", "clever", "cosy",
    "crisp", "curious", "dapper", "daring", "dazzling", "deft", "eager", "early", "earnest",
    "easy", "elated", "elegant", "eloquent", "even", "fair", "faithful", "fancy", "fearless",
    "fine", "fleet", "fond", "frank", "fresh", "gallant", "gentle", "glad", "golden", "graceful",
    "grand", "happy", "hardy", "hearty", "honest", "hopeful", "humble", "jolly", "jovial", "keen",
    "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat",
    "nimble", "noble", "patient", "placid", "plucky", "polite", "prompt", "proud", "quick",
    "quiet", "ready", "rustic", "serene", "sharp", "silent", "sincere", "smooth", "snug", "solid",
    "spry", "steady", "stoic", "sunny", "swift", "tidy", "upbeat", "vivid", "witty",
];

#[rustfmt::skip]
const SURNAMES: [&str; 100] = [
    "abel", "agnesi", "ampere", "archimedes", "avogadro", "babbage", "banach", "bardeen", "bell",
    "bernoulli", "bohr", "boole", "borg", "bose", "boyle", "brahe", "cantor", "carson", "cauchy",
    "cerf", "chandrasekhar", "church", "clarke", "codd", "cori", "curie", "dalton", "darwin",
    "descartes", "dijkstra", "dirac", "easley", "einstein", "erdos", "euclid", "euler", "faraday",
    "fermat", "fermi", "feynman", "fourier", "franklin", "galileo", "galois", "gauss", "germain",
    "goodall", "goedel", "hamilton", "hawking", "heisenberg", "herschel", "hilbert", "hodgkin",
    "hooke", "hopper", "hubble", "huygens", "hypatia", "jacobi", "johnson", "joule", "kepler",
    "kirchhoff", "knuth", "kowalevski", "lagrange", "lamarr", "laplace", "leavitt", "leibniz",
    "liskov", "lovelace", "maxwell", "mayer", "meitner", "mendel", "mendeleev", "merian",
    "mirzakhani", "newton", "nobel", "noether", "ohm", "pascal", "pasteur", "perlman", "planck",
    "poincare", "ramanujan", "riemann", "ritchie", "rubin", "shannon", "tesla", "torvalds",
    "turing", "volta", "wiles", "wu",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        for adjective in ADJECTIVES {
            for surname in SURNAMES {
                gantry_model::id::check_name(&format!("{adjective}_{surname}9")).unwrap();
            }
        }
        assert_eq!(generate([0, 0, 0, 0], 0), "able_abel");
        assert_eq!(generate([0, 95, 0, 99], 3), "witty_wu3");
        assert_eq!(generate([255, 255, 255, 255], 0).split('_').count(), 2);
    }
}
