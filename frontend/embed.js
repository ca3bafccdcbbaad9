// ?embed=true: a page inside another site's frame, without what surrounds it, and with links that open outside the frame.
if (new URLSearchParams(location.search).get("embed") === "true") {
  document.documentElement.dataset.embed = "";
  const outside = (event) => {
    const link = event.target instanceof Element && event.target.closest("a[href]");
    if (link) link.target = "_blank";
  };
  addEventListener("click", outside, true);
}
