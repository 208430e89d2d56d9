"""Classes of crop maps: the Cropland Data Layer of the US Department of Agriculture, some of them."""

CDL = {  # code: name, and the colour in which the layer is published
    1: ("corn", "#FFD300"), 2: ("cotton", "#FF2626"), 3: ("rice", "#00A9E6"), 4: ("sorghum", "#FF9E0B"),
    5: ("soybean", "#267000"), 21: ("barley", "#E2007F"), 23: ("spring wheat", "#D9B56C"),
    24: ("winter wheat", "#A87000"), 26: ("wheat and soybean", "#737300"), 36: ("alfalfa", "#FFA8E3"),
    41: ("sugar beet", "#A900E6"), 42: ("dry beans", "#A80000"), 43: ("potato", "#732600"), 54: ("tomato", "#F5A27A"),
    61: ("fallow", "#BFBF7A"), 111: ("water", "#4D70A3"), 176: ("grass", "#E9FFBE")}
COLOURS = {name: colour for name, colour in CDL.values()} | {
    "maize": "#FFD300", "winter barley": "#E2007F", "permanent grass": "#E9FFBE", "beans": "#A80000",
    "fodder crops": "#8FBF5A"}  # of classes of other maps
OTHER = "#C7CBD1"
