"""What is the same below any mount: what is asked for → where the redirects end."""

WAYS = {
    "/": "/",
    "/project/Mounted.Here/": "/project/mounted-here/",
    "/simple": "/simple/",
    "/simple/": "/simple/",
    "/simple/Mounted.Here": "/simple/mounted-here/",
    "/simple/Mounted.Here/": "/simple/mounted-here/",
    "/simple/mounted-here?format=text%2Fhtml": "/simple/mounted-here/?format=text%2Fhtml",
}
