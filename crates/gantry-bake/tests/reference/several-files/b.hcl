X="two"
V="set"
target "default" {
  args={ b = 2, c = null }
 annotations=["p=q"]
}
