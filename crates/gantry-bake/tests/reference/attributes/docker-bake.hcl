target "default" { 
tags=["","a","a"] 
 labels={x=null} 
context=null
platforms=[] 
cache-from=["", "x/y,z/w"]
contexts={a=""}
pull=null
attest=["type=provenance,mode=max",{type="sbom"}] 
output=["type=image,name=a","./out","-",{type="local",dest="x"}] 
cache-to=["a/b","type=local,dest=x",{type="gha"}] 
secret=["id=a,src=docker-bake.hcl","type=env,id=T",{id="x",env="Y"}] 
ssh=[] 
ulimits=["nofile=1"] 
extra-hosts={a="1.2.3.4"} 
entitlements=["network.host"]
shm-size="1g"
network="host" 
call="check"
annotations=["a=b"] 
args={a="$${x} %%{y} <&>"}
dockerfile-inline="x $${b}"
inherits=["b","c"]
}
target "b" { 
args={b=1} 
tags=["b"]
cache-from=["type=local,src=q"]
platforms=["linux/arm64"]
description="dd"
}
target "c" { 
args={a=2,c=2} 
tags=["c"]
cache-to=["type=inline"]
}
