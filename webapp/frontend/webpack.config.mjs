import { fileURLToPath } from "node:url";
import CssMinimizer from "css-minimizer-webpack-plugin";
import HtmlPlugin from "html-webpack-plugin";
import CssExtract from "mini-css-extract-plugin";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default {
  entry: { pages: here("src/index.tsx") },
  output: {
    path: here("../pages"),
    publicPath: "/app/",
    filename: "[name].[contenthash].js",
    chunkFilename: "[name].[contenthash].js",
    assetModuleFilename: "[name].[contenthash][ext]",
    clean: true,
  },
  resolve: { extensions: [".tsx", ".ts", ".mjs", ".js"] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        exclude: /node_modules/,
        use: {
          loader: "swc-loader",
          options: { jsc: { target: "es2022", transform: { react: { runtime: "automatic" } } } },
        },
      },
      { test: /\.css$/, use: [CssExtract.loader, "css-loader"] },
      // Also what is small stays a file of its own: the policy of the pages allows no fonts within style sheets.
      { test: /\.(woff2?|ttf|eot|svg|png|jpg)$/, type: "asset/resource" },
    ],
  },
  optimization: { minimizer: ["...", new CssMinimizer()] },
  plugins: [
    new HtmlPlugin({ template: here("src/index.html"), scriptLoading: "defer" }),
    // Style sheets of components do not touch each other: their order says nothing.
    new CssExtract({
      filename: "[name].[contenthash].css",
      chunkFilename: "[name].[contenthash].css",
      ignoreOrder: true,
    }),
  ],
  // What a page may weigh is asserted by a test, compressed as it is sent.
  performance: false,
  cache: { type: "filesystem" },
  devtool: false,
  stats: "errors-warnings",
};
