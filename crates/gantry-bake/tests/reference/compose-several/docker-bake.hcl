target "db" {
  args = { Y = "6" }
  platforms = ["linux/arm64"]
}
