//! `--gpus`: `all`, a number, or fields `device=`, `count=`, `driver=`, `capabilities=`,
//! `options=`.

use gantry_model::container::DeviceRequest;

/// Reads a request as Docker's `--gpus` spells it.
pub(crate) fn parse(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest {
        count: 1,
        ..DeviceRequest::default()
    };
    let mut seen: Vec<String> = Vec::new();
    let mut capabilities = vec!["gpu".to_owned()];
    for field in fields(text) {
        let (key, value) = field.split_once('=').unwrap_or(("count", &field));
        if seen.iter().any(|known| known == key) {
            return Err(format!(
                "gpu request key '{key}' can be specified only once"
            ));
        }
        seen.push(key.to_owned());
        let list = || value.split(',').map(str::to_owned);
        match key {
            "driver" => value.clone_into(&mut request.driver),
            "count" if value == "all" => request.count = -1,
            "count" => {
                request.count = value.parse().map_err(|_| {
                    format!("invalid count ({value}): value must be either \"all\" or an integer")
                })?;
            }
            "device" => request.device_ids = list().collect(),
            "capabilities" => capabilities.extend(list().filter(|word| word != "gpu")),
            "options" => {
                for option in list() {
                    let (name, value) = option.split_once('=').unwrap_or((&option, ""));
                    request.options.insert(name.to_owned(), value.to_owned());
                }
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    let has = |key: &str| seen.iter().any(|known| known == key);
    if has("device") {
        if has("count") {
            return Err("cannot set both Count and DeviceIDs on device request".to_owned());
        }
        request.count = 0;
    }
    request.capabilities = vec![capabilities];
    Ok(request)
}

/// Comma-separated fields; quotes keep the commas of one together.
fn fields(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(String::new()),
            other => all.last_mut().expect("never empty").push(other),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_dockers() {
        assert_eq!(parse("all").unwrap().count, -1);
        assert_eq!(parse("2").unwrap().count, 2);
        let named = parse("\"device=0,GPU-1\",driver=nvidia,capabilities=utility").unwrap();
        assert_eq!(named.device_ids, ["0", "GPU-1"]);
        assert_eq!((named.count, named.driver.as_str()), (0, "nvidia"));
        assert_eq!(named.capabilities, [["gpu", "utility"]]);
        for bad in ["some", "foo=1", "count=1,device=0", "1,2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
