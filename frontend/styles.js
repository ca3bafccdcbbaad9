// Markup brings its styles as data-style: the content-security policy forbids style attributes and allows the object model.
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) {
      if (!(node instanceof Element)) continue;
      for (const element of [node, ...node.querySelectorAll("[data-style]")]) {
        if (element.dataset.style) element.style.cssText = element.dataset.style;
      }
    }
  }
}).observe(document, { childList: true, subtree: true });
