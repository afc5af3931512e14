
variable "TAG" { default = "latest" }
group "default" { targets = ["app", "extra"] }
group "extra" {
  description = "more"
  targets = ["tools", "app"]
}
target "base" {
  context = "./base"
  args = { VERSION = "1.2" }
  tags = ["base:${TAG}"]
}
target "app" {
  inherits = ["base"]
  contexts = { base = "target:base", src = "./src" }
  tags = ["app:${target.base.args.VERSION}", target.base.tags[0]]
  labels = target.base.args
  dockerfile = "${target.tools.name}.Dockerfile"
}
target "tools" {
  target = "tools"
  no-cache-filter = ["x"]
  platforms = ["linux/amd64", "linux/arm64"]
  description = "tools of ${TAG}"
}
