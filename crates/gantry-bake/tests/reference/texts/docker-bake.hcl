target "default" {
  args = {
    a00 = "a\nb\t\"q\" \\ \u00e9"
    a01 = "$${a} %%{b}"
    a02 = "a${"b${"c"}"}"
    a03 = "x%{ if true }y%{ else }z%{ endif }"
    a04 = "%{ for x in ["a","b"] }<${x}>%{ endfor }"
    a05 = "%{ for i, x in ["a","b"] ~} ${i}${x} %{~ endfor }"
    a06 = "  ${~ "x" ~}  |"
    a07 = <<EOT
line ${1+1}
  two
EOT
    a08 = <<-EOT
    a
      b

    c ${upper("x")}
    EOT
    a09 = chomp("a\n\n")
    a10 = indent(2,"a\nb\nc")
    a11 = join("-",["a","b"],["c"])
    a12 = lower("ÀB")
    a13 = upper("éa")
    a14 = title("foo bar-baz o'x 1a")
    a15 = trim("xxhixx","x")
    a16 = trimprefix("v1","v")
    a17 = trimsuffix("a.tar",".tar")
    a18 = trimspace("  a ")
    a19 = replace("a.b.c",".","-")
    a20 = regex_replace("ab12c","[0-9]+","<$0>")
    a21 = reverse("abc")
    a22 = jsonencode(split(",","a,b,,c"))
    a23 = jsonencode(split("","abc"))
    a24 = strlen("héllo")
    a25 = substr("hello",1,3)
    a26 = substr("hello",-3,2)
    a27 = substr("hello",1,-1)
    a28 = format("%s-%d-%05d|%-4d|%+d","a",5,42,7,1)
    a29 = format("%.2f %f %e %g",1.005,2,12345.678,0.5)
    a30 = format("%x %X %b %o",255,255,255,8)
    a31 = format("%v %v %v %#v",true,1.5,null,"a")
    a32 = format("%q|%5s|%-5s|","a\"b","x","y")
    a33 = format("%[2]s%[1]s","a","b")
    a34 = format("%%")
    a35 = format("%t",true)
    a36 = format("%.3s","abcdef")
    a37 = format("%.3g|%g|%G",1234.5,1e21,0.00001)
    a38 = format("%v",[1,"a"])
    a39 = format("%v",{a=1})
    a40 = jsonencode(formatlist("%s:%d",["a","b"],[1,2]))
    a41 = jsonencode(formatlist("%s/%s","p",["a","b"]))
    a42 = regex("a(.)c","xabc")[0]
    a43 = jsonencode(regex("(?P<x>a)(?P<y>b)","ab"))
    a44 = regex("b+","abbbc")
    a45 = jsonencode(regexall("[a-z][0-9]","a1 b2"))
    a46 = basename("/a/b/c.txt")
    a47 = dirname("/a/b/c.txt")
    a48 = dirname("c")
    a49 = sanitize("a.b/c:d")
    a50 = base64encode("hi")
    a51 = base64decode("aGk=")
    a52 = urlencode("a b&c/d")
    a53 = md5("a")
    a54 = sha1("a")
    a55 = sha256("a")
    a56 = sha512("a")
    a57 = uuidv5("dns","example.com")
    a58 = uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8","x")
    a59 = "a" == "a" ? "same" : "other"
    a60 = strlen("")
    a61 = split(",","a,b")[1]
    a62 = "${[1,2][1]}"
    a63 = "é" == "\u00e9" ? 1 : 2
  }
}
