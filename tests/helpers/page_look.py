"""What a page looks like in a browser."""

# What a page is: its size, what it draws, the smallest letters in drawings, the colours of these and of the page.
LOOK = """() => {
  const box = element => element.getBoundingClientRect(), letters = [...document.querySelectorAll("svg text")];
  const drawn = [...document.querySelectorAll(".plot svg")].map(svg => Math.min(box(svg).width, box(svg).height));
  const right = [...document.querySelectorAll("svg text")].map(text => box(text).right);
  const seen = [...document.images].map(image => image.complete && image.naturalWidth);
  return {width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight, drawn, seen,
    right: Math.max(...right), letters: Math.min(...letters.map(text => box(text).height)),
    inks: [...new Set(letters.map(text => getComputedStyle(text).fill))], ink: getComputedStyle(document.body).color};
}"""
