
target "app" {
  name = "app-${tgt}-${replace(version, ".", "-")}"
  matrix = {
    tgt = ["foo", "bar"]
    version = ["1.0", "2.0"]
  }
  target = tgt
  args = { VERSION = version }
}
target "one" {
  matrix = { item = [{ a = "x", b = ["1"] }] }
  name = "one-${item.a}"
  tags = item.b
}
target "same" {
  inherits = ["one-x"]
  contexts = { app = "target:app-foo-1-0" }
}
group "default" { targets = ["one", "same"] }
