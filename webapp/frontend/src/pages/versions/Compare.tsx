export default function Compare() {
  return <p>to come</p>;
}
